"""What a user sees of long work: progress bars in a terminal, lines in a log."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
)

from tiltlm.cli.console import PlainConsole


class Bars:
    """A `tiltlm.progress.Progress` with one bar for each part of the work.

    Where the console is no terminal but a log, it gets lines instead: one at each part's end, and
    one now and then before that.

    Args:
        console: where to draw; standard error, so that standard output can be piped.
        every_seconds: the time between lines in a log.
    """

    def __init__(self, console: Console, every_seconds: float = 30.0) -> None:
        self._in_terminal = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description:<26}", markup=False),
            BarColumn(16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not self._in_terminal,
        )
        self._part: Task | None = None
        self._every_seconds, self._last_line = every_seconds, 0.0

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, title: str, total: int) -> None:
        """Draw a bar for a part of the work that begins; see `Progress.begin`."""
        self._bars.add_task(title, total=total, note="")
        self._part = self._bars.tasks[-1]
        self._last_line = time.monotonic()

    def advance(self, done: int, note: str = "") -> None:
        """Move the newest bar; see `Progress.advance`."""
        if self._part is None:
            return
        was_finished = self._part.finished
        self._bars.update(self._part.id, completed=done, note=note)
        is_due = time.monotonic() - self._last_line >= self._every_seconds
        ends = self._part.finished and not was_finished
        if not self._in_terminal and (is_due or ends):
            self._print_line(self._part)

    def note(self, text: str) -> None:
        """Print a line above the bars; see `Progress.note`."""
        self._bars.console.print(text, markup=False, soft_wrap=not self._in_terminal)

    def _print_line(self, part: Task) -> None:
        self._last_line = time.monotonic()
        elapsed = timedelta(seconds=round(part.elapsed or 0))
        pieces = [f"{part.description} {part.completed:.0f}/{part.total:.0f}", str(elapsed)]
        self.note(", ".join([*pieces, *filter(None, [part.fields["note"]])]))


def bars_on_stderr() -> Bars:
    """Bars on standard error, which every command draws its progress with."""
    return Bars(PlainConsole(stderr=True))
