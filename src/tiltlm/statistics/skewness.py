"""How much further than Student's an interval reaches where its values are skewed: a bootstrap-t.

Student's interval takes the two tails of a mean for alike. Of values that are skewed to the right,
as divergences are, a sample has too few of the large ones more often than too many, and then its
spread is too small as well: the mean lies above the interval far oftener than below it. The
bootstrap-t draws the values again and again, looks how far the mean in each draw lies from the
sample's in units of the draw's own error, and so sees how the two tails differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special

Array = np.ndarray[Any, Any]

_RESAMPLES = 1999
"""Draws; with so many the quantiles at 2.5 % are draws themselves, none lies between two."""

_LEAST_TAIL = 0.4
"""The tail of the longer side is divided by the square of how much longer it is, at most to this
share: a sample understates its skewness, as it is likeliest to lack the largest values."""

_LEAST_VARIANCE = 0.02
"""A draw's variance is raised by this share of the sample's, and both are taken in that unit, so
that draws that hold the same value again and again do not lie infinitely far."""

_FEWEST = 6
"""From fewer values than this nothing is seen of skewness; draws of one value only are common."""

_GROUPS = 256
"""More values than this are first summed into so many groups, in turn."""


def stretches(deviations: Sequence[float] | Array, tail: float = 0.025) -> tuple[float, float]:
    """By how much Student's margins are to be multiplied below and above the mean.

    Args:
        deviations: of independent values from their mean; they sum to 0.
        tail: how much of the distribution is to lie beyond each end.

    Returns:
        the factors below and above, both at least 1; 1 and 1 with fewer than `_FEWEST` values. The
        same values always have the same factors.

    Source: Efron 1981, "Nonparametric standard errors and confidence intervals"; Hall 1992, *The
    Bootstrap and Edgeworth Expansion*.

    >>> below, above = stretches([-1.0] * 15 + [15.0])
    >>> below, above > 1.5
    (1.0, True)
    """
    values = np.asarray(deviations, float)
    if len(values) > _GROUPS:
        values = np.bincount(np.arange(len(values)) % _GROUPS, values)
    count, variance = len(values), float((values**2).mean()) if len(values) else 0.0
    if count < _FEWEST or not variance > 0:
        return 1.0, 1.0
    values = values / np.sqrt(variance)
    shares = _draws(count)
    means = shares @ values
    variances = np.maximum(0.0, shares @ values**2 - means**2)
    drawn = means / np.sqrt((variances + _LEAST_VARIANCE) / (1 + _LEAST_VARIANCE) / count)
    drawn.sort()

    def reach(tail: float) -> Array:
        """How far draws lie above 0, and how far below; so far may the sample's mean be off.

        Args:
            tail: the share of the draws that lie further.
        """
        rank = max(1, round(tail * (_RESAMPLES + 1)))
        return np.array([drawn[-rank], -drawn[rank - 1]])

    sides = reach(tail)
    longer = int(sides.argmax())
    share = max(0.0, float(sides.min() / sides.max())) ** 2
    sides[longer] = reach(max(_LEAST_TAIL, share) * tail)[longer]
    below, above = np.maximum(1.0, sides / -special.stdtrit(count - 1, tail))
    return float(below), float(above)


@lru_cache(maxsize=8)
def _draws(count: int) -> Array:
    """(resamples, count) the share that each value has in each draw with replacement."""
    generator = np.random.default_rng(count)
    return generator.multinomial(count, np.full(count, 1 / count), _RESAMPLES) / count
