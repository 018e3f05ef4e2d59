"""Who is told how far long work has come; the command line draws bars with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int], None]
"""What a loop calls with the number of items that are done; `Progress.advance` is one."""


class Progress(Protocol):
    """Is told of parts of the work, each with a title and a number of items."""

    def begin(self, title: str, total: int) -> None:
        """A part of the work begins.

        Args:
            title: what is being done.
            total: items of this part; 0 where their number is not known.
        """

    def advance(self, done: int, note: str = "") -> None:
        """So many items of the part that began last are done.

        Args:
            done: all items so far, not those since the last call.
            note: a few words to show beside the bar.
        """

    def note(self, text: str) -> None:
        """A line that should stay on the screen."""


class NoProgress:
    """A `Progress` that shows nothing."""

    def begin(self, title: str, total: int) -> None:
        """Nothing is shown."""

    def advance(self, done: int, note: str = "") -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""
