"""What ends a command from outside: Ctrl-C, SIGTERM, and paths that the system refuses.

Each is one message; after a signal the exit code is the one that shells expect.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from typer.core import TyperGroup

from tiltlm.errors import ConfigError, InterruptedRun, Terminated

_OF_PATHS = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT),
    *(errno.EACCES, errno.EPERM),
)


class Commands(TyperGroup):
    """Commands whose interrupts come out as errors; typer would end the program without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Call a command.

        Raises:
            InterruptedRun: the command was interrupted.
            ConfigError: the system refuses a path that it was given.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise unfinished() from interrupt
        except OSError as error:
            if error.errno not in _OF_PATHS or error.filename is None:
                raise
            raise ConfigError(
                f"a path cannot be used: {error.strerror}",
                where=str(error.filename)[:300],
                fix="correct the path",
            ) from None


@contextmanager
def listening() -> Iterator[list[KeyboardInterrupt]]:
    """Let both signals interrupt what is done in the block; outside the main thread do nothing.

    Yields:
        the interrupts that came, which some commands catch to finish with what they have.
    """
    came: list[KeyboardInterrupt] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        came.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        raise came[-1]

    in_main_thread = threading.current_thread() is threading.main_thread()
    # A process that was told to ignore a signal goes on doing so.
    handled = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {n: signal.signal(n, handle) for n in handled if in_main_thread}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(error: BaseException) -> int:
    """The exit code of the program after an error.

    Args:
        error: a `TiltError` or an interrupt.

    Returns:
        2; after an interrupt 128 and the number of its signal.
    """
    interrupt = error.__cause__ if isinstance(error, InterruptedRun) else error
    if isinstance(interrupt, Terminated):
        return 128 + signal.SIGTERM
    return 128 + signal.SIGINT if isinstance(interrupt, KeyboardInterrupt) else 2


def unfinished() -> InterruptedRun:
    """What is said of a command that keeps nothing of what it had begun."""
    return InterruptedRun(
        "interrupted before it was finished; nothing half-written is left",
        fix="run the same again; it begins anew",
    )


def cut_short() -> InterruptedRun:
    """What is said of a command that made of an interrupt the end of its reading."""
    return InterruptedRun(
        "interrupted; the result is whole, but of less than was asked for",
        fix="run the same again with another --out for all of it",
    )
