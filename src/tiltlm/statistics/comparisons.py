"""Whether base and model differ: differences with interval, p-value and the items it would take.

Many comparisons are made at once, so p-values are adjusted together (Holm), and only what is left
at the stated rate is called different. Knows nothing of tokens or models.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from tiltlm.errors import MeasurementError
from tiltlm.records.base import Interval
from tiltlm.records.measure import Comparison
from tiltlm.statistics.intervals import paired_shares, ratio_student, ratio_test

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
        a comparison without figures of base and model.
    """
    tested = ratio_test(numerators, denominators)
    count = len(numerators)
    if tested is None:
        ratio = sum(numerators) / sum(denominators)
        # Items that all agree say nothing of chance; that nothing changed at all is still a result.
        p = 1.0 if ratio == 0 else None
        return Comparison(name, unit, count, None, None, ratio, None, p, worth, None)
    ratio, error, freedom = tested
    p = float(2 * stats.t.sf(abs(ratio) / error, freedom))
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

    Args:
        name: what is measured.
        unit: what one value is of; the unit of replication.
        base: at least two values.
        model: likewise; as many or not.
        worth: a difference that one would want to see.

    Returns:
        a comparison whose items are those of the smaller sample.

    Raises:
        MeasurementError: a sample has fewer than two values.
    """
    first, second = np.asarray(base, float), np.asarray(model, float)
    if min(len(first), len(second)) < 2:
        raise MeasurementError(f"{name} needs at least two samples of each model")
    difference = float(second.mean() - first.mean())
    spread = math.sqrt(first.var(ddof=1) + second.var(ddof=1))
    interval: Interval | None = None
    p: float | None = 1.0 if difference == 0 else None
    if spread > 1e-9 * (abs(first.mean()) + abs(second.mean())):
        with warnings.catch_warnings():
            # scipy warns where the values of one sample are all alike.
            warnings.simplefilter("ignore", RuntimeWarning)
            test = stats.ttest_ind(second, first, equal_var=False)
        low, high = test.confidence_interval(0.95)
        interval, p = (float(low), float(high)), float(test.pvalue)
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

    A comparison without a p-value (items without spread) is left out and never called different.

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
    z = stats.norm.ppf(0.975) + stats.norm.ppf(POWER)
    return max(2, math.ceil(float(z * spread / worth) ** 2))
