"""How long each part of some work took."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds since it was made, and of each part that was finished.

    Attributes:
        seconds: of each part, by its name.

    >>> watch = Stopwatch()
    >>> watch.lap("loading")
    >>> list(watch.seconds), watch.total >= watch.seconds["loading"]
    (['loading'], True)
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = self._last = time.monotonic()

    def lap(self, part: str) -> None:
        """The part that began with the last call, or with the watch, is finished.

        Args:
            part: its name; what is there under the same name already is added to.
        """
        now = time.monotonic()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Seconds since the watch was made."""
        return time.monotonic() - self._begin
