"""Every error that tiltlm raises on purpose. Knows nothing of the rest.

TiltError                 what the command line prints, with exit code 2
├── ExpressionError       an event or target written as text cannot be read
├── EventError            an event that matches no token, or every token
├── TargetError           a target that is no distribution
├── VocabularyError       two vocabularies that should agree do not
├── ShapeError            tensors whose shapes do not fit together
├── ConfigError           a recipe or an option that cannot be used
├── ModelError            a model that cannot be found, loaded or run
├── RunError              a run directory that cannot be written or resumed
│   ├── CheckpointError   a checkpoint that is damaged
│   └── StorageError      no room on the disk
├── DivergedError         the loss or the weights stopped being finite
├── MeasurementError      nothing was there to measure
└── InterruptedRun        Ctrl-C or SIGTERM: what is kept, and how to go on

Terminated                SIGTERM, handled wherever Ctrl-C is
"""

from __future__ import annotations


class TiltError(Exception):
    """The base class of all errors; the message says what was wrong, where, and what to do.

    Args:
        what: what was wrong, in one sentence.
        where: the file, line or option, if there is one.
        fix: what the user can do about it; calls and options that it names are tried out by
            tests/test_advice.py.

    Attributes:
        told_by_another: whether another process of the same launch tells the user; None where
            processes have not met over it (`launching`).

    >>> print(TiltError("no such recipe: 'x'", where="command line", fix="see `tiltlm recipes`"))
    no such recipe: 'x'
      in: command line
      fix: see `tiltlm recipes`
    """

    told_by_another: bool | None = None

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        lines = [what]
        if where:
            lines.append(f"  in: {where}")
        if fix:
            lines.append(f"  fix: {fix}")
        super().__init__("\n".join(lines))


def reason_of(error: BaseException) -> str:
    r"""What another library's error says, in one short line.

    Args:
        error: as it was raised. Where its first line only says that something follows, that is
            taken.

    >>> reason_of(RuntimeError("Error(s) in loading Model:\n\tsize mismatch for w"))
    'size mismatch for w'
    >>> reason_of(KeyError())
    'KeyError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    line = lines[1] if len(lines) > 1 and lines[0].endswith(":") else lines[0]
    return line if len(line) <= 200 else line[:200] + "…"


class ExpressionError(TiltError):
    """An event or target written as text cannot be read."""


class EventError(TiltError):
    """An event that matches no token, or every token."""


class TargetError(TiltError):
    """A target that is no distribution."""


class VocabularyError(TiltError):
    """Two vocabularies that should agree do not."""


class ShapeError(TiltError):
    """Tensors whose shapes do not fit together."""


class ConfigError(TiltError):
    """A recipe or an option that cannot be used."""


class ModelError(TiltError):
    """A model that cannot be found, loaded or run."""


class RunError(TiltError):
    """A run directory that cannot be written or resumed."""


class CheckpointError(RunError):
    """A checkpoint that is damaged."""


class StorageError(RunError):
    """No room on the disk."""


class DivergedError(TiltError):
    """The loss or the weights stopped being finite."""


class MeasurementError(TiltError):
    """Nothing was there to measure."""


class InterruptedRun(TiltError):  # noqa: N818  (it is how a run ends, not a fault)
    """Ctrl-C or SIGTERM ended the work; the message says what is kept and how to go on."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is handled wherever Ctrl-C is."""
