"""Who is told how long work goes; the command line draws bars with it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of progress."""

    def begin(self, title: str, total: int) -> None:
        """A part of the work begins."""

    def advance(self, done: int, note: str = "") -> None:
        """So much of it is done."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class NoProgress:
    """A progress that says nothing."""

    def begin(self, title: str, total: int) -> None:
        """Nothing."""

    def advance(self, done: int, note: str = "") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
