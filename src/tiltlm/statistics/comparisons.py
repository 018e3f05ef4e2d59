"""Whether base and model differ: differences with interval, p-value and the items it would take.

Many comparisons are made at once, so p-values are adjusted together (Holm), and only what is left
at the stated rate is called different. Where the items show no spread and yet differ, exact tests
take the place of those that go by spread. Knows nothing of tokens or models.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from tiltlm.errors import MeasurementError
from tiltlm.records.base import Interval
from tiltlm.records.measure import Comparison
from tiltlm.statistics.intervals import (
    difference_of_shares,
    paired_shares,
    ratio_p,
    ratio_student,
    ratio_test,
)

RATE = 0.05
"""With no difference anywhere, the probability that anything is called different."""

POWER = 0.8
"""The probability with which ``needed`` items show a difference of ``worth``."""


def compare_ratio(
    name: str,
    unit: str,
    base: Sequence[float],
    model: Sequence[float],
    weights: Sequence[float],
    *,
    worth: float,
) -> Comparison:
    """Compare paired means: Σ base / Σ weights against Σ model / Σ weights.

    Args:
        name: what is measured.
        unit: what an item is; the unit of replication.
        base: for each item, the sum over it of the base.
        model: the same of the model.
        weights: what each sum is divided by, such as bytes or tokens.
        worth: a difference that one would want to see.
    """
    differences = [m - b for b, m in zip(base, model, strict=True)]
    total = sum(weights)
    shift = compare_shift(name, unit, differences, weights, worth=worth)
    return replace(shift, base=sum(base) / total, model=sum(model) / total)


def compare_shift(
    name: str,
    unit: str,
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    worth: float,
) -> Comparison:
    """Compare with 0 what is a difference already: Σ numerators / Σ denominators.

    Args:
        name: what is measured.
        unit: what an item is; the unit of replication.
        numerators: for each item, the sum over it of model − base.
        denominators: what each sum is divided by.
        worth: a difference that one would want to see.

    Returns:
        a comparison without figures of base and model. Where all items differ by the same there is
        no interval, and p is that of the sign-flip test: were it chance which of base and model is
        which, n items would all have the same sign once in 2^(n−1). One item shows nothing.

    Source: Fisher 1935, *The Design of Experiments* (sign flips).
    """
    tested = ratio_test(numerators, denominators)
    count = len(numerators)
    if tested is None:
        ratio = sum(numerators) / sum(denominators)
        p = 1.0 if ratio == 0 else _all_alike(sum(value != 0 for value in numerators))
        return Comparison(name, unit, count, None, None, ratio, None, p, worth, None)
    ratio, error, _ = tested
    p = ratio_p(numerators, denominators)
    needed = _needed(error * math.sqrt(count), worth)
    interval = ratio_student(numerators, denominators)
    return Comparison(name, unit, count, None, None, ratio, interval, p, worth, needed)


def compare_shares(
    name: str,
    unit: str,
    base: Sequence[bool],
    model: Sequence[bool],
    *,
    worth: float,
    neutral: float | None = None,
) -> Comparison:
    """Compare paired shares: of the same items, how many base and model get right.

    Args:
        name: what is measured.
        unit: what an item is; the unit of replication.
        base: for each item, whether the base gets it right.
        model: the same of the model.
        worth: a difference that one would want to see.
        neutral: the share of a model without a preference, where the measure has such a point.
    """
    items = len(base)
    gained = sum(m and not b for b, m in zip(base, model, strict=True))
    lost = sum(b and not m for b, m in zip(base, model, strict=True))
    interval, p = paired_shares(gained, lost, items)
    discordant = (gained + lost + 1) / (items + 2)
    return Comparison(
        name,
        unit,
        items,
        sum(base) / items,
        sum(model) / items,
        (gained - lost) / items,
        interval,
        p,
        worth,
        _needed(math.sqrt(discordant), worth),
        neutral=neutral,
    )


def compare_samples(
    name: str, unit: str, base: Sequence[float], model: Sequence[float], *, worth: float
) -> Comparison:
    """Compare the means of two independent samples, by Welch's t test (1947).

    Where each sample is all one value Welch's test has nothing to go by, and the exact permutation
    test takes its place: of all ways to share the values out, only the one seen and its mirror
    image lie so far apart.

    Args:
        name: what is measured.
        unit: what one value is of; the unit of replication.
        base: at least two values.
        model: likewise; as many or not.
        worth: a difference that one would want to see.

    Returns:
        a comparison whose items are those of the smaller sample. It has no interval where neither
        sample has any spread, unless they are 0 and 1: then that of a difference of shares.

    Raises:
        MeasurementError: a sample has fewer than two values.

    Source: Fisher 1935, *The Design of Experiments* (permutations).
    """
    from scipy.stats import ttest_ind  # takes half a second to import

    first, second = np.asarray(base, float), np.asarray(model, float)
    if min(len(first), len(second)) < 2:
        raise MeasurementError(f"{name} needs at least two samples of each model")
    difference = float(second.mean() - first.mean())
    spread = math.sqrt(first.var(ddof=1) + second.var(ddof=1))
    interval: Interval | None = None
    p = 1.0
    if spread > 1e-9 * (abs(first.mean()) + abs(second.mean())):
        with warnings.catch_warnings():
            # scipy warns where the values of one sample are all alike.
            warnings.simplefilter("ignore", RuntimeWarning)
            test = ttest_ind(second, first, equal_var=False)
        low, high = test.confidence_interval(0.95)
        interval, p = (float(low), float(high)), float(test.pvalue)
    elif difference != 0:
        p = min(1.0, 2 / math.comb(len(first) + len(second), len(first)))
        if {*first, *second} == {0.0, 1.0}:
            interval = difference_of_shares(
                int(first.sum()), len(first), int(second.sum()), len(second)
            )
    return Comparison(
        name,
        unit,
        min(len(first), len(second)),
        float(first.mean()),
        float(second.mean()),
        difference,
        interval,
        p,
        worth,
        _needed(spread, worth),
    )


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Adjust the p-values of comparisons made together (Holm 1979) and say which differ.

    A comparison without a p-value (a single item) is left out and never called different.

    Args:
        comparisons: all that are made together.

    Returns:
        the same in the same order, with ``p_adjusted`` and ``different``.
    """
    from statsmodels.stats.multitest import multipletests

    tested = [index for index, c in enumerate(comparisons) if c.p is not None]
    adjusted = list(comparisons)
    if not tested:
        return adjusted
    p_values = multipletests([comparisons[i].p for i in tested], alpha=RATE, method="holm")[1]
    for index, p in zip(tested, p_values, strict=True):
        different = bool(p <= RATE)
        adjusted[index] = replace(comparisons[index], p_adjusted=float(p), different=different)
    return adjusted


def _all_alike(items: int) -> float | None:
    """The sign-flip test's p where so many items differ by the same; None for one alone."""
    return None if items < 2 else 2.0 ** (1 - items)


def _needed(spread: float, worth: float) -> int | None:
    """Items that show a mean difference of ``worth`` with probability `POWER` at 5 %.

    Args:
        spread: the standard deviation of one item's difference.
        worth: the difference to be shown.

    Returns:
        None where there is no spread to judge by.
    """
    if not spread > 0:
        return None
    z = ndtri(0.975) + ndtri(POWER)
    return max(2, math.ceil(float(z * spread / worth) ** 2))
