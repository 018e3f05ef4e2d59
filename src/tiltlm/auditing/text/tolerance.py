"""How far a class may move before an audit by text accuses it: what benign changes do to it."""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.null.pack import NullPack, member_families

_PRIOR = 0.5
"""Each class's spread is joined by so many times the median class's."""


def tolerances(pack: NullPack, classes: TokenClasses, mass: Array, fpr: float) -> Array:
    """How far benign changes move the log-odds of each class, but for a share of them.

    Of each member the class counts that it moves farthest, measured by the spread of that class
    among members of other families.

    Args:
        pack: of benign changes.
        classes: K of them.
        mass: (V,) mean probability of each token under the reference.
        fpr: share of members that may move any class further.

    Returns:
        (K,) nats.
    """
    before = np.asarray(classes.members @ mass).clip(1e-12, 1 - 1e-12)
    masses = pack.masses.double().numpy()
    after = np.asarray((classes.members @ masses.T).T).clip(1e-12, 1 - 1e-12)
    change = np.log(after / (1 - after)) - np.log(before / (1 - before))
    families = np.array(member_families(pack))
    farthest = np.zeros(len(change))
    for family in set(families.tolist()):
        own = families == family
        others = change if own.all() else change[~own]
        farthest[own] = (np.abs(change[own]) / _spread(others).clip(1e-12)).max(1)
    return np.asarray(np.quantile(farthest, 1 - fpr, method="higher") * _spread(change))


def _spread(change: Array) -> Array:
    """(K,) root mean square of (B, K) changes, joined by the median class's.

    Classes that no member moved do not count for the median.
    """
    spread = np.sqrt((change**2).mean(0))
    positive = spread[spread > 0]
    return np.asarray(np.hypot(spread, _PRIOR * (np.median(positive) if len(positive) else 0.0)))
