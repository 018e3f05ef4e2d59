"""Which class stands out most in the log-ratios of the likeliest tokens, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.logprobs.regression import MIN_INFORMATION, TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.place_covariance import MIN_SCALE_NATS
from tiltlm.statistics.robust import robust_spread

_CANDIDATES = 14
"""Classes that are taken out in turn to see what is left: so many with the largest strength in
units of what benign changes do, and as many that explain most by themselves."""


_CLOSE_SHARE = 0.5
"""The class that is named is the one that explains most among those whose score is at least this
share of the largest."""


_NEAR_SHARE, _NEAR_JACCARD = 0.95, 0.5
"""A class with a simpler name takes its place if it explains at least this share as much, and the
Jaccard index of their tokens is at least this."""


@dataclass(frozen=True)
class RankedClass:
    """A class, as it stands out when it is taken out of the log-ratios.

    Attributes:
        index: number of the class.
        strength: nats.
        scale: of the log-ratios that are left without the class, nats.
        score: strength in units of what benign changes of this scale do.
    """

    index: int
    strength: float
    scale: float
    score: float


def class_scales(
    spread: Array, server_noise: float, regression: TopKRegression, shares: Array
) -> Array:
    """What the strength of each class is measured by, in units of a model's scale.

    Args:
        spread: (K,) how far benign changes move each class, in units of their scale.
        server_noise: standard deviation that the noise of a server gives the strength of a class on
            which there is an information of 1, in units of the scale; at most the noise of a
            log-probability in units of the scale, divided by `PlaceCovariance.noise`.
        regression: at the tokens that the model shows.
        shares: (K,) of information, as `TopKRegression.information_shares` gives them.

    Returns:
        (K,).
    """
    information = np.maximum(regression.information * shares, MIN_INFORMATION)
    return np.asarray(np.hypot(spread, server_noise / np.sqrt(information)))


def class_strengths(
    regression: TopKRegression, token_sums: Array, shares: Array
) -> tuple[Array, Array]:
    """The strength of each class by itself.

    Args:
        regression: at the tokens that are shown.
        token_sums: (V,) as `TopKRegression.token_sums` gives them.
        shares: (K,) of information.

    Returns:
        (K,) nats, 0 where a class is not tested; and (K,) booleans: which are.
    """
    information = regression.information * shares
    testable = regression.testable & (information >= MIN_INFORMATION)
    numerators = np.asarray(regression.hypotheses.members @ token_sums)
    strengths = numerators / np.maximum(information, MIN_INFORMATION)
    return np.where(testable, strengths, 0.0), testable


def rank_classes(
    regression: TopKRegression, log_ratios: TopKLogRatios, shares: Array, scales: Array
) -> RankedClass | None:
    """Find the class that stands out most.

    Each candidate is taken out in turn, and its strength is divided by three things: the scale of
    what is then left, which a strong tilt does not blow up; its own scale among benign changes; and
    the spread that is then left over all classes, where that is above 1. Of classes that
    overlap, the right one leaves least, and a change of unknown kind moves all classes a little
    (Efron 2004).

    Args:
        regression: at the tokens that are shown.
        log_ratios: of the suspect, or what is left of them.
        shares: (K,) of information.
        scales: (K,) as `class_scales` gives them.

    Returns:
        the class, with the largest score of all; None where no class can be tested.
    """
    token_sums = regression.token_sums(log_ratios.ratios)
    strengths, testable = class_strengths(regression, token_sums, shares)
    if not testable.any():
        return None
    rough_scores = np.where(testable, np.abs(strengths) / scales, 0.0)
    rough_explained = strengths**2 * regression.information * shares
    ranked: dict[int, RankedClass] = {}
    explained = np.full(len(strengths), -1.0)
    orders = [np.argsort(-by)[:_CANDIDATES].tolist() for by in (rough_scores, rough_explained)]
    for index in dict.fromkeys([*orders[0], *orders[1]]):
        if not testable[index]:
            continue
        indicator = regression.indicator(index)
        tilt_sums = regression.token_sums(indicator)
        mask = regression.hypotheses.members[index]
        information = float((mask @ tilt_sums)[0])
        if information <= 0:
            continue
        strength = float((mask @ token_sums)[0]) / information
        scale = max(log_ratios.minus(strength * indicator).scale, MIN_SCALE_NATS)
        others, _ = class_strengths(regression, token_sums - strength * tilt_sums, shares)
        relative = others[testable] / scales[testable]
        remaining_spread = float(robust_spread(relative, centred=True)) / scale
        score = abs(strength) / scale / float(scales[index]) / max(1.0, remaining_spread)
        ranked[index] = RankedClass(index, strength, scale, score)
        explained[index] = strength**2 * information
    return _choose(regression, ranked, explained) if ranked else None


def _choose(
    regression: TopKRegression, ranked: dict[int, RankedClass], explained: Array
) -> RankedClass:
    """The candidate that is named, with the largest score of all candidates.

    Args:
        regression: for the classes.
        ranked: candidates by their number.
        explained: (K,) weighted sum of squares that each candidate explains, −1 for others.
    """
    largest = max(candidate.score for candidate in ranked.values())
    for index, candidate in ranked.items():
        if candidate.score < _CLOSE_SHARE * largest:
            explained[index] = -1.0
    best = int(explained.argmax())
    near = explained >= max(0.0, _NEAR_SHARE * explained[best])
    chosen = ranked[regression.hypotheses.simplest(best, near, _NEAR_JACCARD)]
    return RankedClass(chosen.index, chosen.strength, chosen.scale, largest)
