"""Tolerance."""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.null.pack import NullPack, member_families


def tolerances(pack: NullPack, classes: TokenClasses, mass: Array, fpr: float) -> Array:
    """(K,) how far benign changes move each class's log-odds, but for a share of them.

    Args:
        pack: of benign changes.
        classes: K of them.
        mass: (V,) of the reference.
        fpr: share of members that may move any class further; of each member, the farthest class
            counts, by the spread among members of other families.
    """
    before = np.asarray(classes.members @ mass).clip(1e-12, 1 - 1e-12)
    masses = pack.masses.double().numpy()
    after = np.asarray((classes.members @ masses.T).T).clip(1e-12, 1 - 1e-12)
    change = np.log(after / (1 - after)) - np.log(before / (1 - before))
    kinds = np.array(member_families(pack))
    farthest = np.zeros(len(change))
    for kind in set(kinds.tolist()):
        own = kinds == kind
        others = change if own.all() else change[~own]
        farthest[own] = (np.abs(change[own]) / _spread(others).clip(1e-12)).max(1)
    return np.asarray(np.quantile(farthest, 1 - fpr, method="higher") * _spread(change))


def _spread(change: Array) -> Array:
    """(K,) how far benign changes move each class, and none by less than half the median class."""
    spread = np.sqrt((change**2).mean(0))
    some = spread[spread > 0]
    return np.asarray(np.hypot(spread, 0.5 * (np.median(some) if len(some) else 0.0)))
