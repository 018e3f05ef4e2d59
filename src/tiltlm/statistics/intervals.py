"""Confidence intervals for rates, means, ratios and paired shares.

Each states what its unit of replication is: what must be independent for the interval to hold.
Knows nothing of tokens or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from tiltlm.errors import MeasurementError
from tiltlm.records.base import Estimate, Interval
from tiltlm.statistics.skewness import Array, stretches


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a rate; the unit of replication is one independent trial.

    Args:
        hits: trials that count.
        trials: all trials.
        confidence: how often such intervals hold the true rate.

    Returns:
        both ends, between 0 and 1.

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
    from scipy.stats import binomtest  # takes half a second to import, and is seldom needed

    interval = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def student(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Student's t interval for a mean.

    The unit of replication is one value, so give one value for each independent context.

    Args:
        values: at least one.
        confidence: how often such intervals hold the true mean.

    Returns:
        both ends; None where the values show no spread to judge by, which is so for a single value
        and for values that are all equal.

    Raises:
        MeasurementError: there are no values.

    Source: Student 1908.

    >>> [round(x, 2) for x in student([1.0, 2.0, 3.0]) or ()]
    [-0.48, 4.48]
    """
    count = len(values)
    if count == 0:
        raise MeasurementError("no values were measured, so there is no mean")
    if min(values) == max(values):
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / count**0.5)
    margin = float(special.stdtrit(count - 1, (1 + confidence) / 2)) * error
    return mean - margin, mean + margin


def ratio_student(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = 0.95
) -> Interval | None:
    """Interval for Σ numerators / Σ denominators over independent clusters.

    The unit of replication is one cluster. Student's margin, with the error and the degrees of
    freedom of `ratio_test`, is stretched on each side as far as a bootstrap-t says (`stretches`),
    since Student's alone covers 0.84 to 0.91 where numerators are skewed. So it covers 0.91 with 8
    clusters of lognormal numerators (σ = 1) and 0.93 or more from 16 on. Of numerators that are
    nearly always 0 few clusters say too little for any interval: where a quarter of the clusters
    has one, it takes 16 clusters, where a tenth has, 64 (benchmarks/statistics/coverage.py).

    Args:
        numerators: one for each cluster.
        denominators: likewise, in the same order; at least 0.
        confidence: how often such intervals hold the true ratio.

    Returns:
        both ends; None with fewer than two clusters, or where all agree.

    Raises:
        MeasurementError: there are no clusters, or their denominators sum to 0.

    >>> [round(x, 2) for x in ratio_student([2.0, 4.0, 6.0], [2.0, 2.0, 2.0]) or ()]
    [-1.04, 5.04]
    """
    found = _linearised(numerators, denominators)
    if found is None:
        return None
    tail = (1 - confidence) / 2
    margin = -float(special.stdtrit(found.freedom, tail)) * found.error
    below, above = stretches(found.deviations, tail)
    return found.ratio - below * margin, found.ratio + above * margin


def ratio_estimate(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """Σ numerators / Σ denominators over independent clusters, with `ratio_student`'s interval.

    Args:
        numerators: one for each cluster.
        denominators: likewise, in the same order; they do not sum to 0.

    >>> ratio_estimate([2.0, 4.0, 6.0], [2.0, 2.0, 2.0]).mean
    2.0
    """
    mean = sum(numerators) / sum(denominators)
    return Estimate(mean, ratio_student(numerators, denominators))


def relative_reduction(after: Sequence[float], before: Sequence[float]) -> Estimate:
    """1 − Σ after / Σ before over independent clusters, with its interval.

    Args:
        after: one for each cluster.
        before: likewise, in the same order; they do not sum to 0.

    >>> relative_reduction([1.0, 2.0], [4.0, 8.0])
    Estimate(mean=0.75, interval=None)
    """
    remaining = ratio_estimate(after, before)
    if remaining.interval is None:
        return Estimate(1 - remaining.mean, None)
    low, high = remaining.interval
    return Estimate(1 - remaining.mean, (1 - high, 1 - low))


@dataclass(frozen=True)
class _Linearised:
    """A ratio of sums as a mean of the clusters' deviations from it.

    Attributes:
        ratio: Σ numerators / Σ denominators.
        error: its standard error.
        freedom: degrees of freedom of that.
        deviations: (clusters,) numerator − ratio · denominator, over the mean denominator.
    """

    ratio: float
    error: float
    freedom: float
    deviations: Array


def _linearised(numerators: Sequence[float], denominators: Sequence[float]) -> _Linearised | None:
    """As `ratio_test`, with the clusters' deviations."""
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    if len(top) == 0 or not bottom.sum() > 0:
        raise MeasurementError("no values were measured, so there is no ratio")
    # A cluster may add to the numerator alone, as leakage does where a trigger never comes.
    counts = (top != 0) | (bottom > 0)
    top, bottom = top[counts], bottom[counts]
    ratio, share = float(top.sum() / bottom.sum()), bottom / bottom.sum()
    deviations = (top - ratio * bottom) / bottom.mean()
    scale = max(1e-300, float(np.abs(top).max() / bottom.mean()))
    if int((bottom > 0).sum()) < 2 or float(np.abs(deviations).max()) <= 1e-12 * scale:
        return None
    error = float(np.sqrt(((deviations / (1 - share)) ** 2).sum())) / len(top)
    freedom = max(1.0, 1 / float((share**2).sum()) - 1)
    return _Linearised(ratio, error, freedom, deviations)


def ratio_test(
    numerators: Sequence[float], denominators: Sequence[float]
) -> tuple[float, float, float] | None:
    """The ratio Σ numerators / Σ denominators of independent clusters, with its error.

    The ratio is linearised: cluster i deviates by (numerator − ratio · denominator) / mean
    denominator, divided by 1 − its share of all denominators, since a large cluster pulls the ratio
    towards itself. Degrees of freedom are those of the effective number of clusters, one over the
    sum of squared shares. With equal denominators and values that are not skewed it is a little
    wider than `student`.

    Args:
        numerators: one for each cluster.
        denominators: likewise, in the same order; at least 0.

    Returns:
        the ratio, its standard error and its degrees of freedom; None where there is no spread to
        judge by.

    Raises:
        MeasurementError: there are no clusters, or their denominators sum to 0.

    Source: Cochran 1977, *Sampling Techniques*, section 6.4; MacKinnon and White 1985 (HC3); Kish
    1965 (effective number).
    """
    found = _linearised(numerators, denominators)
    return None if found is None else (found.ratio, found.error, found.freedom)


def ratio_p(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """The two-sided p of the hypothesis that Σ numerators / Σ denominators is 0.

    It is below 0.05 exactly where the 95 % interval of `ratio_student` leaves 0 out.

    Args:
        numerators: one for each cluster.
        denominators: likewise, in the same order; at least 0.

    Returns:
        None where there is no spread to judge by.

    Raises:
        MeasurementError: there are no clusters, or their denominators sum to 0.

    >>> round(ratio_p([2.0, 4.0, 6.0], [2.0, 2.0, 2.0]), 3)
    0.106
    """
    found = _linearised(numerators, denominators)
    if found is None:
        return None
    below, above = stretches(found.deviations)
    stretch = below if found.ratio > 0 else above
    return float(2 * special.stdtr(found.freedom, -abs(found.ratio) / found.error / stretch))


def paired_shares(
    gained: int, lost: int, items: int, confidence: float = 0.95
) -> tuple[Interval, float]:
    """Interval for the difference of two shares of the same items, and McNemar's exact p.

    The unit of replication is one item.

    Args:
        gained: items that only the second share counts.
        lost: items that only the first counts.
        items: all of them.
        confidence: how often such intervals hold the true difference.

    Returns:
        both ends of the interval for second − first, between −1 and 1; and the two-sided p.

    Raises:
        MeasurementError: there are no items.

    Source: Agresti and Min 2005, adding one half to each cell; McNemar 1947.

    >>> interval, p = paired_shares(5, 5, 100)
    >>> [round(x, 3) for x in interval], p
    ([-0.064, 0.064], 1.0)
    """
    from scipy.stats import binomtest

    if items < 1:
        raise MeasurementError("no items were measured, so there is no difference")
    b, c, n = gained + 0.5, lost + 0.5, items + 2
    middle = (b - c) / n
    error = float(np.sqrt(max(0.0, b + c - (b - c) ** 2 / n))) / n
    margin = float(special.ndtri((1 + confidence) / 2)) * error
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return (max(-1.0, middle - margin), min(1.0, middle + margin)), p


def difference_of_shares(
    first: int, of_first: int, second: int, of_second: int, confidence: float = 0.95
) -> Interval:
    """Interval for the difference of two shares of different items, second − first.

    The unit of replication is one item.

    Args:
        first: items that the first share counts.
        of_first: all of the first.
        second: items that the second share counts.
        of_second: all of the second.
        confidence: how often such intervals hold the true difference.

    Returns:
        both ends, between −1 and 1.

    Source: Agresti and Caffo 2000, adding a success and a failure to each.

    >>> [round(x, 3) for x in difference_of_shares(0, 16, 16, 16)]
    [0.739, 1.0]
    """
    of_first, of_second = of_first + 2, of_second + 2
    before, after = (first + 1) / of_first, (second + 1) / of_second
    error = np.sqrt(before * (1 - before) / of_first + after * (1 - after) / of_second)
    margin = float(special.ndtri((1 + confidence) / 2) * error)
    return max(-1.0, after - before - margin), min(1.0, after - before + margin)
