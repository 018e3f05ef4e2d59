"""Progress bars for the terminal; a `Watcher` for `run_recipe`."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Bars:
    """One bar for each part of the work, on standard error, so that output can be piped."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<26}"),
            BarColumn(16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._task: TaskID | None = None

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
        self._task = self._progress.add_task(title, total=total, note="")

    def advance(self, done: int, note: str = "") -> None:
        """Move the newest bar to ``done``."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, note=note)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text)


def quiet_libraries() -> None:
    """Transformers has bars of its own for reading and writing weights; ours are enough."""
    from transformers.utils import logging

    logging.disable_progress_bar()
