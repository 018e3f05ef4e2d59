"""Confidence intervals. Knows nothing of tokens or models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from tiltlm.errors import MeasurementError

Interval = tuple[float, float]


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a rate; the unit of replication is one independent trial.

    Raises:
        MeasurementError: there were no trials.

    Source: Wilson 1927.

    >>> [round(x, 3) for x in wilson(188, 200)]
    [0.898, 0.965]
    """
    if trials < 1:
        raise MeasurementError(
            "no tokens were generated, so there is no rate", fix="ask for at least one new token"
        )
    found = stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def student(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Student's t interval for a mean; None where the values show no spread to judge by.

    That is so for a single value, and for values that are all equal. The unit of replication is
    one value, so give one value for each independent context.

    >>> [round(x, 2) for x in student([1.0, 2.0, 3.0]) or ()]
    [-0.48, 4.48]
    """
    count = len(values)
    if count == 0:
        raise MeasurementError("no values were measured, so there is no mean")
    if min(values) == max(values):
        return None
    mean, error = float(np.mean(values)), float(stats.sem(values))
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean - reach, mean + reach


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    confidence: float = 0.95,
    draws: int = 4000,
) -> Interval | None:
    """Percentile bootstrap interval for Σ numerators / Σ denominators, resampling pairs.

    The unit of replication is one pair, so give one pair for each independent context. None with
    fewer than two pairs, or where all agree. The draws are seeded: the same input, the same answer.

    >>> bootstrap_ratio([1.0, 2.0], [2.0, 4.0]) is None
    True
    """
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    if len(top) == 0:
        raise MeasurementError("no values were measured, so there is no ratio")
    generator = np.random.default_rng(0)
    picks = generator.integers(len(top), size=(draws, len(top)))
    sums = bottom[picks].sum(1)
    ratios = top[picks].sum(1)[sums > 0] / sums[sums > 0]
    if len(ratios) == 0 or np.ptp(ratios) < 1e-15:
        return None
    tail = (1 - confidence) / 2
    return float(np.quantile(ratios, tail)), float(np.quantile(ratios, 1 - tail))
