"""Is it different? Differences between base and model, each with interval, p and what it takes.

Knows statistics, nothing of tokens or models. Many comparisons are made at once, so p-values are
adjusted together (Holm), and only what is left at the stated rate is called different.
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


def compare_ratio(
    name: str,
    unit: str,
    base: Sequence[float],
    model: Sequence[float],
    weights: Sequence[float],
    *,
    worth: float,
) -> Comparison:
    """Paired means: Σ base / Σ weights against Σ model / Σ weights, item by item.

    Args:
        name: what is measured.
        unit: what an item is.
        base: sums over each item.
        model: the same of the model.
        weights: what each is divided by, such as bytes or tokens.
        worth: a difference that one would want to see.
    """
    differences = [m - b for b, m in zip(base, model, strict=True)]
    total = sum(weights)
    found = compare_shift(name, unit, differences, weights, worth=worth)
    return replace(found, base=sum(base) / total, model=sum(model) / total)


def compare_shift(
    name: str, unit: str, tops: Sequence[float], bottoms: Sequence[float], *, worth: float
) -> Comparison:
    """Whether Σ tops / Σ bottoms, already a difference, is 0."""
    tested = ratio_test(tops, bottoms)
    count = len(tops)
    if tested is None:
        ratio = sum(tops) / sum(bottoms)
        # Items that all agree say nothing of chance; that nothing moved at all is still a result.
        p = 1.0 if ratio == 0 else None
        return Comparison(name, unit, count, None, None, ratio, None, p, worth, None)
    ratio, error, freedom = tested
    p = float(2 * stats.t.sf(abs(ratio) / error, freedom))
    needed = _needed(error * math.sqrt(count), worth)
    interval = ratio_student(tops, bottoms)
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
    """Paired shares: which items each gets right."""
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
    """Means of two independent samples (Welch)."""
    first, second = np.asarray(base, float), np.asarray(model, float)
    if min(len(first), len(second)) < 2:
        raise MeasurementError(f"{name} needs at least two samples of each model")
    difference = float(second.mean() - first.mean())
    spread = math.sqrt(first.var(ddof=1) + second.var(ddof=1))
    interval: Interval | None = None
    p: float | None = 1.0 if difference == 0 else None
    if spread > 1e-9 * (abs(first.mean()) + abs(second.mean())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of one sample being all alike
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
    """
    from statsmodels.stats.multitest import multipletests

    tested = [place for place, c in enumerate(comparisons) if c.p is not None]
    found = list(comparisons)
    if not tested:
        return found
    adjusted = multipletests([comparisons[i].p for i in tested], alpha=RATE, method="holm")[1]
    for place, p in zip(tested, adjusted, strict=True):
        found[place] = replace(comparisons[place], p_adjusted=float(p), different=bool(p <= RATE))
    return found


def _needed(spread: float, worth: float) -> int | None:
    """Items that show a mean difference of ``worth`` with probability `POWER` at 5 %."""
    if not spread > 0:
        return None
    z = stats.norm.ppf(0.975) + stats.norm.ppf(POWER)
    return max(2, math.ceil(float(z * spread / worth) ** 2))
