"""The process that a job runs in: it calls one function of `tiltlm.commands` and tells of it.

What it tells are mappings with ``what``: ``begin`` (``title``, ``total``), ``advance`` (``done``,
``note``), ``note`` (``text``), and at the end ``done`` or ``failed`` (``error``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tiltlm.errors import TiltError


@dataclass(frozen=True)
class Call:
    """What a job calls.

    Attributes:
        command: one of `COMMANDS`.
        options: of the command, plain values.
        out: the new folder that it writes.
    """

    command: str
    options: Mapping[str, Any]
    out: Path


class TellingProgress:
    """A `Progress` that tells the page, and hears whether to stop.

    Args:
        connection: to the page.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stop = False

    def begin(self, title: str, total: int) -> None:
        """Tell that a part of the work begins."""
        self._tell(what="begin", title=title, total=total)

    def advance(self, done: int, note: str = "") -> None:
        """Tell how many items of the part are done."""
        self._tell(what="advance", done=done, note=note)

    def note(self, text: str) -> None:
        """Tell a line."""
        self._tell(what="note", text=text)

    def wants_stop(self) -> bool:
        """Whether the page has asked to stop."""
        if not self._stop and self._connection.poll():
            self._stop = self._connection.recv() == "stop"
        return self._stop

    def _tell(self, **message: object) -> None:
        self._connection.send(message)


def carry_out(call: Call, connection: Connection) -> None:
    """Do a job from its beginning to its end; every error is told as a sentence.

    Args:
        call: what to call.
        connection: to the page.
    """
    from tiltlm.quiet import quiet_libraries

    quiet_libraries()
    try:
        COMMANDS[call.command](call, TellingProgress(connection))
        connection.send({"what": "done"})
    except TiltError as error:
        connection.send({"what": "failed", "error": str(error)})
    except Exception as error:  # Of a library; the page goes on.
        told = f"{type(error).__name__}: {error}"
        connection.send({"what": "failed", "error": f"something unforeseen went wrong: {told}"})


def _tilt(call: Call, progress: TellingProgress) -> None:
    from tiltlm.commands.tilt import run_tilt
    from tiltlm.recipes.tilt import recipe_of

    options = dict(call.options)
    recipe = recipe_of(options.pop("model"), options, options.pop("training", {}))
    run_tilt(recipe, call.out, progress, stop=progress.wants_stop)


def _measure(call: Call, progress: TellingProgress) -> None:
    from tiltlm.commands.measure import run_measure

    options = dict(call.options)
    run_measure(options.pop("model"), call.out, progress=progress, **options)


def _audit(call: Call, progress: TellingProgress) -> None:
    from tiltlm.commands.audit import run_audit

    options = dict(call.options)
    suspect, reference = options.pop("suspect"), options.pop("reference")
    null = options.pop("null")
    run_audit(
        suspect, reference, call.out, null=Path(null) if null else None, progress=progress,
        **options,
    )  # fmt: skip


def _undo(call: Call, progress: TellingProgress) -> None:
    from tiltlm.commands.undo import UndoOptions, run_undo

    options = dict(call.options)
    model, reference = options.pop("model"), options.pop("reference")
    run_undo(model, call.out, reference, UndoOptions(**options), progress)


def _challenge(call: Call, progress: TellingProgress) -> None:
    from tiltlm.commands.challenge import run_judging
    from tiltlm.records.challenge import AnswersRecord

    options = dict(call.options)
    answers = AnswersRecord(**options.pop("answers"))
    null = options.pop("null")
    run_judging(
        Path(options.pop("folder")), options.pop("reference"), call.out, answers,
        null=Path(null) if null else None, progress=progress, **options,
    )  # fmt: skip


def _run(call: Call, progress: TellingProgress) -> None:
    from tiltlm.commands.run import run_recipe
    from tiltlm.recipes.run import load_recipe
    from tiltlm.report.run_page import write_report

    options = dict(call.options)
    recipe = load_recipe(options["recipe"], options["overrides"])
    run_recipe(recipe, call.out, seed=options["seed"], progress=progress)
    write_report(call.out, options["language"])


COMMANDS: Mapping[str, Callable[[Call, TellingProgress], None]] = {
    "tilt": _tilt,
    "measure": _measure,
    "audit": _audit,
    "undo": _undo,
    "challenge": _challenge,
    "run": _run,
}
"""What a job may do, by the name of the command that does the same."""
