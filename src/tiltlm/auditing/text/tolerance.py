"""How far a class may move before an audit by text accuses it: what benign changes do to it."""

from __future__ import annotations

import math

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.null.pack import NullPack, check_size, member_families
from tiltlm.auditing.text.tilted_masses import TiltedMasses

_PRIOR = 0.5
"""Each class's spread is joined by so many times the median class's."""


def tolerances(pack: NullPack, classes: TokenClasses, tilted: TiltedMasses, rate: float) -> Array:
    """How far benign changes tilt each class, but for a share of them.

    The tilt of a class by a member is the one by which the class would have the mean probability
    that it has under the member. Of each member the class counts that it tilts farthest, measured
    by the spread of that class among members of other families.

    Args:
        pack: of B benign changes.
        classes: K of them.
        tilted: what tilts of the classes make of the reference, at the places where the pack was
            read in full.
        rate: share of benign changes that may move any class further.

    Returns:
        (K,) nats.

    Raises:
        ConfigError: so few members cannot vouch for the rate.
    """
    check_size(pack, rate, "--null")
    masses = pack.masses.double().numpy()
    change = tilted.strengths(np.asarray((classes.members @ masses.T).T))
    families = np.array(member_families(pack))
    farthest = np.zeros(len(change))
    for family in set(families.tolist()):
        own = families == family
        others = change if own.all() else change[~own]
        farthest[own] = (np.abs(change[own]) / _spread(others).clip(1e-12)).max(1)
    return np.asarray(np.sort(farthest)[_rank(len(farthest), rate) - 1] * _spread(change))


def _rank(count: int, rate: float) -> int:
    """Which of some members, the nearest first, one more exceeds with a chance of ``rate``.

    By exchangeability it is ⌈(B + 1)(1 − rate)⌉, which `check_size` sees to be at most B.
    """
    # A rate such as 0.01 is a little more or less than it says, in floating point.
    return math.ceil((count + 1) * (1 - rate) - 1e-9)


def _spread(change: Array) -> Array:
    """(K,) root mean square of (B, K) changes, joined by the median class's.

    Classes that no member moved do not count for the median.
    """
    spread = np.sqrt((change**2).mean(0))
    positive = spread[spread > 0]
    return np.asarray(np.hypot(spread, _PRIOR * (np.median(positive) if len(positive) else 0.0)))
