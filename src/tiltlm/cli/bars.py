"""Progress bars for the terminal; a `Watcher` for `run_recipe`."""

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


class Bars:
    """One bar for each part of the work, on standard error, so that output can be piped.

    Where that is no terminal but a log, lines instead: now and then, and at each part's end.

    Args:
        console: where to.
        every: seconds between lines.
    """

    def __init__(self, console: Console, every: float = 30.0) -> None:
        self._bars = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<26}"),
            BarColumn(16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not self._bars,
        )
        self._task: Task | None = None
        self._every, self._told = every, 0.0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, title: str, total: int) -> None:
        """A new bar."""
        self._progress.add_task(title, total=total, note="")
        self._task = self._progress.tasks[-1]
        self._told = time.monotonic()

    def advance(self, done: int, note: str = "") -> None:
        """Move the newest bar to ``done``."""
        if self._task is None:
            return
        before = self._task.finished
        self._progress.update(self._task.id, completed=done, note=note)
        late = time.monotonic() - self._told >= self._every
        if not self._bars and (late or self._task.finished > before):
            self._line(self._task)

    def _line(self, task: Task) -> None:
        self._told = time.monotonic()
        passed = timedelta(seconds=round(task.elapsed or 0))
        parts = [f"{task.description} {task.completed:.0f}/{task.total:.0f}", str(passed)]
        self.note(", ".join([*parts, *filter(None, [task.fields["note"]])]))

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, markup=False, soft_wrap=not self._bars)


def quiet_libraries() -> None:
    """Transformers has bars of its own for reading and writing weights; ours are enough."""
    from transformers.utils import logging

    logging.disable_progress_bar()
