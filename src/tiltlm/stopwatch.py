"""How long work took, part by part. Knows nothing of the work."""

from __future__ import annotations

import time


class Stopwatch:
    """Takes the time since it was made, and of each part of the work that was finished since.

    Attributes:
        seconds: from the name of each part to the seconds that it took.

    >>> watch = Stopwatch()
    >>> watch.lap("loading")
    >>> list(watch.seconds), watch.total >= watch.seconds["loading"]
    (['loading'], True)
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = self._last = time.monotonic()

    def lap(self, part: str) -> None:
        """A part of the work is finished; it began with the last call, or when the watch was made.

        Args:
            part: its name; seconds are added to those that stand under the name already.
        """
        now = time.monotonic()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Seconds since the watch was made."""
        return time.monotonic() - self._begin


def spoken(seconds: float) -> str:
    """A length of time as people say it, to about a tenth.

    Args:
        seconds: of it.

    >>> spoken(7.4), spoken(200), spoken(5000), spoken(100_000)
    ('7 s', '3 min', '1.4 h', '28 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
