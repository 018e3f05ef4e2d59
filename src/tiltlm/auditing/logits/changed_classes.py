"""The classes whose probability changed most, whether or not anything was planted.

What a fine-tune did, in words: it accuses nobody. The unit of replication is the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.overlap import SAME_CLASS_OVERLAP, overlap_coefficient
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.search import take_distinct
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.thresholds import MIN_STRENGTH_NATS
from tiltlm.records.base import Interval
from tiltlm.statistics.intervals import ratio_p, ratio_student

SHOWN = 5
"""Classes that are reported."""

_LOOKED_AT = 200
"""Classes that are tested, those with the most changed probability first."""

_HALF = 0.5
"""A class that holds more of the probability than this is told by what it leaves out."""


@dataclass(frozen=True)
class ChangedClass:
    """A class whose mean probability is another.

    Attributes:
        index: number of the class.
        reference: mean probability under the reference.
        suspect: the same under the suspect.
        interval: 95 % of suspect / reference, over contexts.
        p: that it did not change, adjusted for all classes (Bonferroni); over contexts.
    """

    index: int
    reference: float
    suspect: float
    interval: Interval | None
    p: float


def changed_classes(hypotheses: TokenClasses, shift: Shift, rate: float) -> list[ChangedClass]:
    """The classes whose probability changed most, none of which is mostly another.

    Ranked by what a position says of the change on average, the Kullback-Leibler divergence between
    having a token of the class and not.

    Args:
        hypotheses: K classes.
        shift: of a suspect.
        rate: up to which an adjusted p-value is clear.

    Returns:
        at most `SHOWN`.
    """
    by_context = shift.masses_by_context.double().numpy()
    positions = by_context[0].sum()
    before, after = (
        np.asarray(hypotheses.members @ m.sum(0)) / positions.sum() for m in by_context
    )
    # Sparse products would copy a matrix that does not lie in rows, once for each class.
    by_token = [np.ascontiguousarray(m.T) for m in by_context]
    told = _divergence(before, after) * (before < _HALF)

    def clear() -> Iterator[ChangedClass]:
        for index in np.argsort(-told)[:_LOOKED_AT].tolist():
            mask = hypotheses.members[index]
            sums = [np.asarray(mask @ m).ravel() for m in by_token]
            rises = (sums[1] - sums[0]).tolist()
            if not told[index] > 0 or abs(np.log(after[index] / before[index])) < MIN_STRENGTH_NATS:
                continue
            p, interval = ratio_p(rises, sums[0].tolist()), ratio_student(rises, sums[0].tolist())
            if p is not None and p * len(hypotheses) <= rate:
                relative = None if interval is None else (1 + interval[0], 1 + interval[1])
                adjusted = p * len(hypotheses)
                yield ChangedClass(index, before[index], after[index], relative, adjusted)

    def alike(later: ChangedClass, earlier: ChangedClass) -> bool:
        tokens = (set(hypotheses.token_ids(c.index)) for c in (later, earlier))
        return overlap_coefficient(*tokens) >= SAME_CLASS_OVERLAP

    return take_distinct(clear(), alike, most=SHOWN)


def _divergence(before: Array, after: Array) -> Array:
    """KL between two Bernoulli distributions, nats; 0 where one of them is certain."""
    inner = (before > 0) & (before < 1) & (after > 0) & (after < 1)
    p, q = np.where(inner, before, 0.5), np.where(inner, after, 0.5)
    return np.asarray(q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)))
