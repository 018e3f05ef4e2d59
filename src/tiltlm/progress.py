"""How work of many steps tells how far it has come; the command line draws bars with it.

Whoever works takes a `Progress` and calls it. It knows nothing of what is shown, and where.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int], None]
"""What a loop calls with the number of items that are done; `Progress.advance` is one."""


class Progress(Protocol):
    """Is told of the parts of some work, one after another."""

    def begin(self, title: str, total: int) -> None:
        """A part of the work begins, and the one before it has ended.

        Args:
            title: what is done in it.
            total: how many items it has; 0 where that is not known.
        """

    def advance(self, done: int, note: str = "") -> None:
        """Some items of the part that began last are done.

        Args:
            done: how many since the part began, not since the last call.
            note: a few words to show beside the bar.
        """

    def note(self, text: str) -> None:
        """Show a line that stays on the screen.

        Args:
            text: one sentence.
        """


class NoProgress:
    """A `Progress` that shows nothing."""

    def begin(self, title: str, total: int) -> None:
        """Show nothing."""

    def advance(self, done: int, note: str = "") -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""
