"""From a shift to named classes with a p-value that the null vouches for.

The largest score over all hypotheses and filters is compared with the same maximum in benign
changes (Westfall and Young 1993), so the false-positive rate is that of the whole audit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.filters import (
    ColumnSpaceFilter,
    HeadGeometry,
    ResidualFilter,
    standardised,
)
from tiltlm.auditing.shifts.strata import Change
from tiltlm.auditing.thresholds import FAMILIES, MOST, NOISE, SMALLEST

_LIKE = 0.98
"""Classes that score so much of the best explain it as well; the simplest name is taken."""


_SAME = 0.5
"""Jaccard index of token sets from which on two classes count as one."""


OUTSIDE, INSIDE = "outside", "inside"


@dataclass(frozen=True)
class Finding:
    """A class that was shifted.

    Attributes:
        event: as it can be written, where it can.
        token_ids: of the class.
        seen: outside or inside the head's column space.
        index: of the hypothesis, among those of its filter.
        strength: nats.
        interval: of the strength, 95 %; the unit of replication is the benign change. None
            without a null.
        score: 1 is what one in fifty of the null reaches with this filter.
        p: of the largest score, None without a null.
    """

    event: str
    token_ids: tuple[int, ...]
    seen: str
    index: int
    strength: float
    interval: tuple[float, float] | None
    score: float
    p: float | None


class Auditor:
    """Knows the reference and, with a pack, what benign changes look like.

    Args:
        space: the reference's head and masses.
        hypotheses: classes of tokens.
        null: benign changes, B of them; None for an audit without calibration.
        waiting: (B,) largest scores of a class that waits for a word, among the same; None where
            no words were tried.
        families: (B,) of what kind each is. Where there are at least three, each member is scored
            by an auditor that knows none of its family, as a suspect will be whose corpus the
            pack does not have.
        templates: (K, S, D) what a tilt of each class does inside the column space; needed with
            a null.
        on_family: called when the members of a family are scored, by each of the two filters.
    """

    def __init__(
        self,
        space: HeadGeometry,
        hypotheses: TokenClasses,
        null: Change | None,
        waiting: Array | None = None,
        families: Sequence[str] = (),
        templates: Array | None = None,
        on_family: Callable[[], None] = lambda: None,
    ) -> None:
        self.space = space
        self.outside = ResidualFilter(space, hypotheses)
        self.null_maxima: Array = np.empty(0)
        if null is None:
            return
        assert templates is not None
        self.inside = ColumnSpaceFilter(space, hypotheses, templates)
        self._filters: dict[str, ResidualFilter | ColumnSpaceFilter] = {
            OUTSIDE: self.outside,
            INSIDE: self.inside,
        }
        self._units: dict[str, Array] = {}
        self._moved: dict[str, Array] = {}
        maxima = []
        for name, one in self._filters.items():
            scores = _null_scores(one, _part(name, null), np.array(families), on_family)
            # A class that families move which the others do not know is measured by that.
            moved = np.maximum(1, np.sqrt((scores**2).mean(0)))
            found = (scores / moved).max(1)
            self._moved[name], self._units[name] = moved, moved * _unit(found)
            maxima.append(found / _unit(found))
        self.waiting_unit = 1.0
        if waiting is not None:
            self.waiting_unit = _unit(waiting)
            maxima.append(waiting / self.waiting_unit)
        self.null_maxima = np.max(maxima, 0)

    def p_value(self, score: float) -> float:
        """(1 + how many of the null reach it) / (B + 1)."""
        return float((1 + self._counts(np.array(score))) / (len(self.null_maxima) + 1))

    def best(self, change: Change) -> Finding:
        """What the change of a suspect speaks most for, whether or not it is significant."""
        return max((self._best_of(name, change) for name in self._filters), key=lambda f: f.score)

    def named(self, change: Change, rate: float) -> list[Finding]:
        """Classes found one after another, each with those before it taken out of the change.

        Args:
            change: of a suspect.
            rate: of false positives.
        """
        found: list[Finding] = []
        rest = change
        for _ in range(MOST):
            best = self.best(rest)
            if best.p is None or best.p > rate or abs(best.strength) < SMALLEST:
                break
            rest = self._without(rest, best)
            if not any(_belongs(best, f) for f in found):
                found.append(best)
        return self._together(change.mean, found)

    def ranked(self, shift: Array) -> list[Finding]:
        """Without a null: the same search, by coefficients over their own noise."""
        found: list[Finding] = []
        rest = shift
        for _ in range(MOST):
            named = self.clearest(rest)
            if named.score < NOISE or abs(named.strength) < SMALLEST:
                break
            rest = rest - named.strength * self.outside.mask(named.index)
            if not any(_belongs(named, f) for f in found):
                found.append(named)
        return found

    def clearest(self, shift: Array) -> Finding:
        """The class that a shift itself speaks most for, by its coefficient over its own noise."""
        one = self.outside
        clear, strengths = one.residual(shift[None])[0], one.strengths(shift[None])[0]
        noise = float(np.median(np.abs(clear - np.median(clear))) / 0.6745) + 1e-3
        scores = np.abs(strengths) * np.sqrt(one.hypotheses.sizes) / noise
        index = _simplest(np.where(one.visible, scores, 0.0), one.hypotheses)
        named = self._name(OUTSIDE, one, index)
        return replace(named, strength=float(strengths[index]), score=float(scores[index]))

    def _without(self, change: Change, found: Finding) -> Change:
        """The change with a class's part taken out."""
        if found.seen == OUTSIDE:
            shift = self.outside.mask(found.index)
            moves = self.space.moves(shift)[None]
        else:
            moves = self.inside.templates[found.index]
            shift = self.space.shift_of(moves.mean(0))
        return Change(change.mean - found.strength * shift, change.moves - found.strength * moves)

    def _best_of(self, name: str, change: Change) -> Finding:
        one, seen = self._filters[name], _part(name, change)
        scores = self._scores(name, seen)
        # Of classes that are as sure, the one that stands out most by its own spread.
        sure = self._counts(scores) == self._counts(scores.max(keepdims=True))
        plain = np.where(sure, scores * self._moved[name], 0.0)
        index = _simplest(plain, one.hypotheses)
        strength = float(one.strengths(seen[None])[0, index])
        reach = 1.96 * one.error(seen, index)
        return replace(
            self._name(name, one, index),
            strength=strength,
            interval=(strength - reach, strength + reach),
            score=float(scores[index]),
            p=self.p_value(float(scores[index])),
        )

    def _counts(self, scores: Array) -> Array:
        """How many of the null reach each score."""
        ordered = np.sort(self.null_maxima)
        return np.asarray(len(ordered) - np.searchsorted(ordered, scores, side="left"))

    def _scores(self, name: str, seen: Array) -> Array:
        one = self._filters[name]
        scores = np.abs(standardised(one.scores(seen[None])))[0] / self._units[name]
        return np.asarray(np.where(one.visible, scores, 0.0))

    def _name(self, seen: str, one: ResidualFilter | ColumnSpaceFilter, index: int) -> Finding:
        ids = tuple(one.hypotheses.token_ids(index))
        return Finding(one.hypotheses.names[index], ids, seen, index, 0.0, None, 0.0, None)

    def _together(self, shift: Array, found: list[Finding]) -> list[Finding]:
        """Strengths of the classes seen outside, each given the others."""
        outside = [f for f in found if f.seen == OUTSIDE]
        if len(outside) < 2:
            return found
        strengths = self.outside.joint(shift, [f.index for f in outside])
        again = dict(zip(outside, strengths.tolist(), strict=True))
        return [_moved_to(f, again.get(f, f.strength)) for f in found]


def _part(name: str, change: Change) -> Array:
    """What a filter looks at."""
    return change.mean if name == OUTSIDE else change.moves


def _unit(maxima: Array) -> float:
    """What makes the maxima of different filters comparable: a value that few of them reach.

    At least one spread; where a null shows nothing at all, its quantile is no measure.
    """
    return max(float(np.quantile(maxima, 0.98)), 1.0)


def _null_scores(
    one: ResidualFilter | ColumnSpaceFilter,
    null: Array,
    families: Array,
    on_family: Callable[[], None],
) -> Array:
    """(B, K) scores of each member, by what is known from others; the filter is fitted."""
    kinds = sorted(set(families.tolist()))
    if len(kinds) < FAMILIES:
        found = np.abs(standardised(one.fit(null)))
        for _ in kinds:
            on_family()
    else:
        found = np.zeros((len(null), len(one.visible)))
        for kind in kinds:
            inside = families == kind
            one.fit(null[~inside])
            found[inside] = np.abs(standardised(one.scores(null[inside])))
            on_family()
        one.fit(null)
    return np.asarray(np.where(one.visible, found, 0.0))


def _moved_to(found: Finding, strength: float) -> Finding:
    assert found.interval is not None
    reach = (found.interval[1] - found.interval[0]) / 2
    return replace(found, strength=strength, interval=(strength - reach, strength + reach))


def _belongs(later: Finding, found: Finding) -> bool:
    """Whether a class is one already found again, or a part of it that moved otherwise."""
    if _jaccard(later, found) >= _SAME:
        return True
    contained = np.isin(later.token_ids, found.token_ids).mean() >= 0.8
    return bool(contained and abs(later.strength) < abs(found.strength) / 2)


def _jaccard(first: Finding, second: Finding) -> float:
    a, b = set(first.token_ids), set(second.token_ids)
    return len(a & b) / max(1, len(a | b))


def _simplest(scores: Array, hypotheses: TokenClasses) -> int:
    """The hypothesis with the best score, or a simpler one that explains it as well."""
    best = int(scores.argmax())
    return hypotheses.simplest(best, scores >= _LIKE * scores[best], 0.8)
