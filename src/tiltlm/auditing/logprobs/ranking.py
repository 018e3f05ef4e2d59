"""Which class stands out most in what was shown, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.logprobs.regression import LEAST, TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.place_covariance import SMALLEST_SCALE

_CANDIDATES = 14
"""Classes that are taken out to see what is left: so many that move farthest, measured by what
benign changes do, and as many that explain most."""


_CLOSE, _LIKE = 0.5, 0.95
"""Of classes that stand out by so much of the most, the one that explains most is named, or a
simpler one that explains so much of it."""


@dataclass(frozen=True)
class RankedClass:
    """A class, its strength in nats, the scale of what is left without it, and its score."""

    index: int
    strength: float
    scale: float
    score: float


def class_scales(spread: Array, besides: float, lens: TopKRegression, shares: Array) -> Array:
    """(K,) what a strength is measured by, in units of the scale.

    Args:
        spread: (K,) of benign changes.
        besides: what a server's noise does to the strength of a class on which there is an
            information of 1; at most noise / `Moves.noise`, in units of the scale.
        lens: of the model.
        shares: of information.
    """
    information = np.maximum(lens.information * shares, LEAST)
    return np.asarray(np.hypot(spread, besides / np.sqrt(information)))


def class_strengths(lens: TopKRegression, total: Array, shares: Array) -> tuple[Array, Array]:
    """(K,) nats, 0 where a class is not judged; and which are."""
    information = lens.information * shares
    visible = lens.visible & (information >= LEAST)
    found = np.asarray(lens.hypotheses.members @ total) / np.maximum(information, LEAST)
    return np.where(visible, found, 0.0), visible


def rank_classes(
    lens: TopKRegression, seen: TopKLogRatios, shares: Array, reach: Array
) -> RankedClass | None:
    """The class that stands out most, and by how much.

    Each candidate is taken out in turn. Its strength is divided by
    the scale of what is then left, which a strong tilt does not blow up, and by the spread that is
    left over all classes, where that is above 1: of classes that overlap the right one leaves
    least, and a change of unknown kind moves all classes a little (Efron 2004).
    """
    total = lens.total(seen.ratios)
    strengths, visible = class_strengths(lens, total, shares)
    if not visible.any():
        return None
    members = lens.hypotheses.members
    rough = np.where(visible, np.abs(strengths) / reach, 0.0)
    found: dict[int, RankedClass] = {}
    explained = np.full(len(rough), -1.0)
    by_itself = strengths**2 * lens.information * shares
    orders = [np.argsort(-by)[:_CANDIDATES].tolist() for by in (rough, by_itself)]
    for index in dict.fromkeys([*orders[0], *orders[1]]):
        if not visible[index]:
            continue
        change, own = lens.at(index), members[index]
        tilt = lens.total(change)
        information = float((own @ tilt)[0])
        if information <= 0:
            continue
        strength = float((own @ total)[0]) / information
        scale = max(seen.less(strength * change).scale, SMALLEST_SCALE)
        rest = class_strengths(lens, total - strength * tilt, shares)[0][visible]
        left = float(np.median(np.abs(rest / reach[visible]))) / 0.6745 / scale
        score = abs(strength) / scale / float(reach[index]) / max(1.0, left)
        found[index] = RankedClass(index, strength, scale, score)
        explained[index] = strength**2 * information
    if not found:
        return None
    most = max(one.score for one in found.values())
    for index, one in found.items():
        if one.score < _CLOSE * most:
            explained[index] = -1.0
    best = int(explained.argmax())
    near = explained >= max(0.0, _LIKE * explained[best])
    chosen = found[lens.hypotheses.simplest(best, near, 0.5)]
    return RankedClass(chosen.index, chosen.strength, chosen.scale, most)
