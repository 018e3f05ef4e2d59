"""An interval for a ratio whose clusters are bounded: it holds what only few clusters have, too.

No interval that goes by a sample's spread knows of clusters that it lacks. Where one cluster in
thirty differs by far from the others, a sample of thirty has none of these in every third case, and
then all looks alike. With a bound on what a cluster can be, what is not seen can be reckoned with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tiltlm.errors import MeasurementError
from tiltlm.records.base import Interval

Array = np.ndarray[Any, Any]

_DRAWS = 9999
"""Draws of the clusters' shares; with so many, an end's error is off by a twentieth of itself."""


def bounded_ratio(
    numerators: Sequence[float], denominators: Sequence[float], largest: float, error: float
) -> Interval:
    """Interval for Σ numerators / Σ denominators of independent clusters within a bound.

    Each end is a quantile of what the ratio is where the clusters, and one more at the bound, get
    random shares of the whole (uniform over all ways to share it). With n clusters that are all at
    0 the upper end is ``largest`` · (1 − error^(1/n)), and with some at the bound and the others at
    0 it is Clopper and Pearson's. The cluster at the bound weighs Σ w² / Σ w, as the cluster does
    in which a random unit of weight lies.

    That such ends hold is proven where clusters are at the bound or at 0, and conjectured
    otherwise; simulations (benchmarks/statistics/certificates.py) found no exception where weights
    vary by less than their mean.

    Args:
        numerators: one for each cluster.
        denominators: its weight, at least 0, in the same order.
        largest: no cluster's own ratio lies beyond ±``largest``.
        error: how often each of the two ends misses the true ratio, at most.

    Returns:
        both ends; the same input always has the same.

    Raises:
        MeasurementError: there are no clusters, or their denominators sum to 0.

    Source: Learned-Miller and Thomas 2019, "A new confidence interval for the mean of a bounded
    random variable".

    >>> [round(end, 3) for end in bounded_ratio([0.0] * 48, [1.0] * 48, 1.0, 0.05)]
    [-0.06, 0.06]
    """
    tops, weights = np.asarray(numerators, float), np.asarray(denominators, float)
    if not weights.sum() > 0:
        raise MeasurementError("no values were measured, so there is no ratio")
    shares = _shares(len(tops))
    at_bound = shares[:, -1] * float((weights**2).sum() / weights.sum())
    whole = shares[:, :-1] @ weights + at_bound
    seen = shares[:, :-1] @ tops
    rank = max(1, int(error * (_DRAWS + 1)))
    below = np.partition((seen - at_bound * largest) / whole, rank - 1)[rank - 1]
    above = np.partition((seen + at_bound * largest) / whole, _DRAWS - rank)[_DRAWS - rank]
    return float(below), float(above)


@lru_cache(maxsize=2)
def _shares(count: int) -> Array:
    """(draws, count + 1) shares of a whole, uniform over all ways to share it."""
    drawn = np.random.default_rng(count).standard_exponential((_DRAWS, count + 1))
    shares: Array = drawn / drawn.sum(1, keepdims=True)
    return shares
