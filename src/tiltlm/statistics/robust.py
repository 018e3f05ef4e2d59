"""Spreads that a few extreme values do not move, and p-values by comparison with simulated ones."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_OF_NORMAL = 0.6745
"""Median absolute deviation of a standard normal distribution."""


def robust_spread(values: Array, axis: int = -1, *, centred: bool = False) -> Array:
    """The standard deviation that a normal distribution with this median absolute deviation has.

    Args:
        values: of any shape.
        axis: along which the spread is taken.
        centred: whether the middle is known to be 0, so that no median is taken off.

    Returns:
        spreads, in the shape of ``values`` without ``axis``.

    Source: Hampel 1974.

    >>> float(robust_spread(np.array([-0.6745, 0.0, 0.6745, 0.3, -0.3, 99.0, -0.6745])))
    1.0
    """
    middle = 0.0 if centred else np.median(values, axis=axis, keepdims=True)
    return np.asarray(np.median(np.abs(values - middle), axis=axis) / _OF_NORMAL)


def monte_carlo_p(reaching: int, simulated: int) -> float:
    """The p-value of a statistic by comparison with simulated ones: (1 + reaching) / (B + 1).

    It holds where the statistic is exchangeable with the simulated ones if there is no effect.

    Args:
        reaching: how many of the simulated statistics are at least as large.
        simulated: B, how many there are.

    Source: Phipson and Smyth 2010, "Permutation p-values should never be zero".

    >>> monte_carlo_p(0, 99)
    0.01
    """
    return (1 + reaching) / (simulated + 1)
