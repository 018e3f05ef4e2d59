"""What a user sees of long work: progress bars in a terminal, lines in a log."""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Event, Thread
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from tiltlm.cli.console import PlainConsole
from tiltlm.stopwatch import spoken

_LOOKS_SECONDS = 0.05
"""Least time between two looks at whether a log has been silent for too long."""

_SURE_SECONDS = 5.0
"""Nothing is said of what is left before a part has gone on for so long."""


class Bars:
    """A `tiltlm.progress.Progress` with one bar for each part of the work.

    Where the console is no terminal but a log, it gets lines instead: one at each part's end, and
    one now and then before that, also where nobody says how far the work has come.

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
            _LeftColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not self._in_terminal,
        )
        self._part: Task | None = None
        self._every_seconds, self._last_line = every_seconds, time.monotonic()
        self._over = Event()

    def __enter__(self) -> Bars:
        self._bars.start()
        if not self._in_terminal:
            Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._bars.stop()

    def begin(self, title: str, total: int) -> None:
        """Draw a bar for a part of the work that begins; see `Progress.begin`."""
        self._bars.add_task(title, total=total, note="", moved=0.0)
        self._part = self._bars.tasks[-1]
        self._last_line = time.monotonic()

    def advance(self, done: int, note: str = "") -> None:
        """Move the newest bar; see `Progress.advance`."""
        if self._part is None:
            return
        was_finished = self._part.finished
        moved = self._part.elapsed or 0.0
        self._bars.update(self._part.id, completed=done, note=note, moved=moved)
        ends = self._part.finished and not was_finished
        if not self._in_terminal and (self._is_due() or ends):
            self._print_line(self._part, ends=ends)

    def note(self, text: str) -> None:
        """Print a line above the bars; see `Progress.note`."""
        self._bars.console.print(text, markup=False, soft_wrap=not self._in_terminal)

    def _is_due(self) -> bool:
        return time.monotonic() - self._last_line >= self._every_seconds

    def _break_silence(self) -> None:
        """Print a line wherever there was none for long, until the work is over."""
        while not self._over.wait(max(_LOOKS_SECONDS, self._every_seconds / 30)):
            if self._is_due():
                self._print_line(self._part)

    def _print_line(self, part: Task | None, *, ends: bool = False) -> None:
        self._last_line = time.monotonic()
        if part is None or (part.finished and not ends):
            self.note(
                "working" if part is None else f"{part.description} is done, and work goes on"
            )
            return
        elapsed = timedelta(seconds=round(part.elapsed or 0))
        pieces = [f"{part.description} {part.completed:.0f}/{part.total:.0f}", str(elapsed)]
        more = [_time_left(part), part.fields["note"]]
        self.note(", ".join([*pieces, *filter(None, more)]))


class _LeftColumn(ProgressColumn):
    """Roughly how long a part goes on, told anew whenever the bar is drawn."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        return Text(_time_left(task))


def _time_left(part: Task) -> str:
    """Roughly how long a part goes on, once there is something to tell that by.

    The pace is that of the steps done, or what the step begun shows it to be at best, if that has
    already taken longer than the others.
    """
    elapsed = part.elapsed or 0.0
    if part.finished or not part.completed or not part.total or elapsed < _SURE_SECONDS:
        return ""
    pace = max(part.fields["moved"] / part.completed, elapsed / (part.completed + 1))
    return f"about {spoken(max(0.0, pace * part.total - elapsed))} left"


def bars_on_stderr() -> Bars:
    """Bars on standard error, which every command draws its progress with."""
    return Bars(PlainConsole(stderr=True))
