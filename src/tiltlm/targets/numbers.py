"""Numbers in targets: which are some, and how they are written so that they read back the same."""

from __future__ import annotations

import sys
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether something is a finite number; True is none, nor is one too large for a float.

    Args:
        value: anything.

    >>> is_number(0.5), is_number(True), is_number(10**400), is_number(float("nan"))
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def written(value: float) -> str:
    """A number as text that reads back as the same number, and is short where it can be.

    Args:
        value: finite.

    >>> written(1.0), written(0.1), written(1 / 3)
    ('1', '0.1', '0.3333333333333333')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
