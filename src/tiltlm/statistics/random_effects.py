"""How far quantities differ that were each measured with an error of their own (random effects)."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def between_variance(values: Array, variances: Array, weights: Array) -> Array:
    """The variance of the quantities themselves, without that of the errors they were measured by.

    The method of moments: the weighted sum of squares about the weighted mean, less what errors
    alone would make it, over what a variance of 1 would add. A negative estimate counts as 0.

    Args:
        values: (N, …) measured.
        variances: (N, …) of their errors.
        weights: (N, …) of each in the mean; any scale.

    Returns:
        (…); 0 where all weight is on one value, which differs from nothing.

    Source: DerSimonian and Laird 1986; with any weights, DerSimonian and Kacker 2007.

    >>> values = np.array([1.0, 3.0])
    >>> float(between_variance(values, np.zeros(2), np.ones(2)))
    2.0
    >>> float(between_variance(values, np.full(2, 2.0), np.ones(2)))
    0.0
    """
    weights = weights / weights.sum(0)
    squares = weights**2
    mean = (weights * values).sum(0)
    spread = (weights * (values - mean) ** 2).sum(0)
    by_errors = (weights * variances).sum(0) - (squares * variances).sum(0)
    by_unit = 1 - squares.sum(0)
    alone = by_unit <= 1e-12
    return np.where(alone, 0.0, (spread - by_errors) / np.where(alone, 1.0, by_unit)).clip(0)
