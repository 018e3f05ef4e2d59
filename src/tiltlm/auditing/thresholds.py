"""Thresholds."""

from __future__ import annotations

MOST = 8
"""Findings of one audit."""


SMALLEST = 0.02
"""Nats: weaker shifts are not named, however certain."""


NOISE = 5.0
"""Standard errors that a class must stand out by to be listed without a null."""


FAMILIES = 3
"""Fewer kinds of benign change than this are too few to do without one."""
