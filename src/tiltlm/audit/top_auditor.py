"""Classes named from the likeliest tokens alone, with a p-value that the null vouches for.

The same regression is made of each member of a pack, at the same places and by the tokens that it
would have shown itself, so the largest score over all classes is compared with theirs (Westfall and
Young 1993). (Neither a member's mean log-ratio over all positions nor its log-ratios among the
reference's likeliest tokens will do: what a suspect hides changes what is seen.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.audit.auditor import FAMILIES
from tiltlm.audit.filters import Array
from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.audit.top_shift import Seen, TopShift

_PRIOR = 0.5
"""Each class's spread under the null is joined by so many times the median class's."""

_LIKE = 0.95
"""Classes that stand out so much as the best explain it as well; the simplest name is taken."""

_CANDIDATES = 40
"""Classes that are taken out to see what is left."""

_LEAST = 1e-4
"""Nats: no strength is surer than this."""


@dataclass(frozen=True)
class TopNamed:
    """A class that was shifted.

    Attributes:
        index: of the hypothesis.
        strength: nats.
        interval: 95 %; units of replication are the context and the benign change.
        score: 1 is what one in fifty of the null reaches.
        p: of the largest score; None without a null.
        body: whether one Δh was explained away.
    """

    index: int
    strength: float
    interval: tuple[float, float]
    score: float
    p: float | None
    body: bool


class TopNull:
    """What benign changes show at the same places, as strengths of all classes.

    Args:
        members: what each shows.
        reference: what the reference shows, as a suspect of itself.
        hypotheses: classes.
        rows: (V, D) of the reference's head.
        families: (B,) of what kind each is; each is scored by what the others do.
        on_member: told how many are done.
    """

    def __init__(
        self,
        members: Iterable[Seen],
        reference: Seen,
        hypotheses: Hypotheses,
        rows: Array,
        families: Sequence[str],
        on_member: Callable[[int], None] | None = None,
    ) -> None:
        self.lenses = _lenses(reference, hypotheses, rows)
        self.families = np.array(families)
        found: dict[bool, list[Array]] = {False: [], True: []}
        for number, seen in enumerate(members):
            lenses = _lenses(seen, hypotheses, rows)
            total = lenses[False].scores()[0]
            for body, lens in lenses.items():
                found[body].append(lens.strengths(total).astype(np.float32))
            if on_member:
                on_member(number + 1)
        self.strengths = {body: np.stack(kept) for body, kept in found.items()}
        """(B, K) each, without and with one Δh explained away."""

    def but(self, family: str) -> TopNull:
        """Without a family."""
        less = copy.copy(self)
        others = self.families != family
        less.families = self.families[others]
        less.strengths = {body: kept[others] for body, kept in self.strengths.items()}
        return less

    def maxima(self, body: bool, error: Array) -> Array:
        """(B,) the largest score of each member, by the spread of those of other families.

        Args:
            body: whether one Δh is explained away.
            error: (K,) of strengths besides, nats.
        """
        strengths, kinds = self.strengths[body], self.families
        if len(set(kinds.tolist())) < FAMILIES:
            kinds = np.arange(len(strengths))
        found = np.zeros(len(strengths))
        for kind in set(kinds.tolist()):
            own = kinds == kind
            others = strengths[~own] if (~own).any() else strengths
            reach = np.hypot(spread_of(others), error)
            for member in np.flatnonzero(own):
                found[member] = _standing(self.lenses[body], strengths[member], reach)[1]
        return found


class TopAuditor:
    """Finds classes in what was shown, with or without and after a moved body.

    Args:
        seen: of the suspect.
        hypotheses: classes.
        rows: (V, D) of the reference's head.
        null: what benign changes show; None for no calibration.
        noisy: whether the suspect does not answer alike when it is asked again.
    """

    def __init__(
        self,
        seen: Seen,
        hypotheses: Hypotheses,
        rows: Array,
        null: TopNull | None,
        *,
        noisy: bool = False,
    ) -> None:
        self.hypotheses = hypotheses
        self._lenses = _lenses(seen, hypotheses, rows)
        self._units, self._reach, self._errors = {}, {}, {}
        maxima = []
        self.total, by_context = self._lenses[False].scores()
        contexts = len(by_context)
        for body, lens in self._lenses.items():
            deviations = lens.deviations(by_context, lens.strengths(self.total))
            error = np.sqrt((deviations**2).sum(0) * contexts / max(1, contexts - 1))
            self._errors[body] = self._reach[body] = error
            self._units[body] = 1.0
            if null is None:
                continue
            lens.visible &= null.lenses[body].visible
            spread = spread_of(null.strengths[body])
            self._errors[body] = np.hypot(spread, error)
            # Both were asked at the same places, so that these differ is in the null too.
            besides = error if noisy else np.zeros_like(error)
            self._reach[body] = np.hypot(spread, besides)
            found = null.maxima(body, besides)
            self._units[body] = max(float(np.quantile(found, 0.98)), 1.0)
            maxima.append(found / self._units[body])
        self.null_maxima: Array = np.max(maxima, 0) if maxima else np.empty(0)
        self.judged = int(np.logical_or(*(lens.visible for lens in self._lenses.values())).sum())

    def best(self, total: Array) -> TopNamed:
        """The class that stands out most.

        Args:
            total: (V,) `total`, or what is left of it.
        """
        found = []
        for body, lens in self._lenses.items():
            strengths = lens.strengths(total)
            index, score = _standing(lens, strengths, self._reach[body])
            score /= self._units[body]
            strength, wide = float(strengths[index]), 1.96 * float(self._errors[body][index])
            p = None
            if len(self.null_maxima):
                above = int((self.null_maxima >= score).sum())
                p = (1 + above) / (len(self.null_maxima) + 1)
            interval = (strength - wide, strength + wide)
            found.append(TopNamed(index, strength, interval, score, p, body))
        return max(found, key=lambda f: f.score)

    def without(self, total: Array, found: TopNamed) -> Array:
        """(V,) what is left when a class is taken out."""
        return np.asarray(total - found.strength * self._lenses[False].of_class(found.index))


def spread_of(benign: Array) -> Array:
    """(K,) how far benign changes move each class, and none by less than half the median class."""
    spread = np.sqrt((benign**2).mean(0))
    some = spread[spread > 0]
    return np.asarray(np.hypot(spread, _PRIOR * (np.median(some) if len(some) else 0.0)))


def _standing(lens: TopShift, strengths: Array, reach: Array) -> tuple[int, float]:
    """The class that stands out most, and by how much.

    Of the classes with the highest scores each is taken out in turn, and its score divided by the
    spread that is left over all classes, where that is above 1: of classes that overlap the right
    one leaves least, and a change of unknown kind moves all classes a little (Efron 2004).
    """
    if not lens.visible.any():
        return 0, 0.0
    reach = np.maximum(reach, _LEAST)
    scores = np.where(lens.visible, np.abs(strengths) / reach, 0.0)
    standing = np.zeros(len(scores))
    for index in np.argsort(-scores)[:_CANDIDATES]:
        rest = (strengths - strengths[index] * lens.echo(int(index))) / reach
        left = float(np.median(np.abs(rest[lens.visible])) / 0.6745)
        standing[index] = scores[index] / max(1.0, left)
    best = int(standing.argmax())
    best = lens.hypotheses.simplest(best, standing >= _LIKE * standing[best], 0.5)
    return best, float(standing[best])


def _lenses(seen: Seen, hypotheses: Hypotheses, rows: Array) -> dict[bool, TopShift]:
    return {body: TopShift(seen, hypotheses, rows if body else None) for body in (False, True)}
