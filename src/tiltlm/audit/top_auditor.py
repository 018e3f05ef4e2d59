"""Classes named from the likeliest tokens alone, with a p-value that the null vouches for.

The same regression is made of each member of a pack, at the same places and by the tokens that it
would have shown itself, so the largest score over all classes is compared with theirs (Westfall and
Young 1993). (Neither a member's mean log-ratio over all positions nor its log-ratios among the
reference's likeliest tokens will do: what a suspect hides changes what is seen.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.audit.auditor import FAMILIES
from tiltlm.audit.filters import Array
from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.audit.moves import SMALLEST, Moves
from tiltlm.audit.top_shift import LEAST, Seen, TopShift

_PRIOR = 0.1
"""Each class's spread under the null is joined by so many times the median class's."""

_UNSEEN, _WIDE, _ENOUGH = 20, 0.9, 10
"""A class that few members show has a spread that few vouch for: it counts as if so many more had
moved it as far as this quantile of classes is moved; quantiles are of classes that enough show."""

_CANDIDATES = 14
"""Classes that are taken out to see what is left: so many that move farthest, measured by what
benign changes do, and as many that explain most."""

_CLOSE, _LIKE = 0.5, 0.95
"""Of classes that stand out by so much of the most, the one that explains most is named, or a
simpler one that explains so much of it."""


@dataclass(frozen=True)
class TopNamed:
    """A class that was shifted.

    Attributes:
        index: of the hypothesis.
        strength: nats.
        interval: 95 %; units of replication are the context and the benign change.
        score: how many spreads of benign changes it stands out by, relative to what is left.
        p: of the largest score; None without a null.
    """

    index: int
    strength: float
    interval: tuple[float, float]
    score: float
    p: float | None


@dataclass(frozen=True)
class _Standing:
    index: int
    strength: float
    scale: float
    score: float


class TopNull:
    """What benign changes show at the same places, as strengths of all classes.

    Args:
        members: what each shows.
        reference: what the reference shows, as a suspect of itself.
        hypotheses: classes.
        moves: what a moved body does.
        families: (B,) of what kind each is; each is scored by what the others do.
        on_member: told how many are done, of twice the members.
    """

    def __init__(
        self,
        members: Sequence[Seen],
        reference: Seen,
        hypotheses: Hypotheses,
        moves: Moves,
        families: Sequence[str],
        on_member: Callable[[int], None] | None = None,
    ) -> None:
        self.shares = TopShift(reference, hypotheses, moves).shares()
        self._members, self._hypotheses, self._moves = list(members), hypotheses, moves
        alone = len(set(families)) < FAMILIES
        self._families = np.array([str(n) for n in range(len(families))] if alone else families)
        self._on_member = on_member or (lambda _: None)
        strengths, visible = [], []
        for number, seen in enumerate(self._members):
            lens = TopShift(seen, hypotheses, moves)
            found, judged = _strengths(lens, lens.total(seen.ratios), self.shares)
            strengths.append((found / max(seen.scale, SMALLEST)).astype(np.float32))
            visible.append(judged)
            self._on_member(number + 1)
        self._strengths, self._visible = np.stack(strengths), np.stack(visible)
        self._maxima: dict[tuple[str, float], Array] = {}

    def spread(self, without: str = "") -> Array:
        """(K,) how far benign changes move each class, in units of their scale.

        Args:
            without: a family that is left out.
        """
        return self._spread(self._families != without)

    def maxima(self, without: str = "", besides: float = 0.0) -> Array:
        """(B,) the largest score of each member, by the spread of those of other families.

        Args:
            without: a family that is left out.
            besides: as for `reach_of`.
        """
        if (without, besides) not in self._maxima:
            self._maxima[without, besides] = self._made(without, besides)
        return self._maxima[without, besides]

    def _made(self, without: str, besides: float) -> Array:
        found, done = [], len(self._members)
        for own, others in self._by_family(without):
            spread = self._spread(others)
            for member in np.flatnonzero(own):
                seen = self._members[member]
                lens = TopShift(seen, self._hypotheses, self._moves)
                reach = reach_of(spread, besides, lens, self.shares)
                standing = _standing(lens, seen, self.shares, reach)
                found.append(standing.score if standing else 0.0)
                done += 1
                self._on_member(done)
        return np.array(found)

    def _by_family(self, without: str) -> Iterator[tuple[Array, Array]]:
        """(B,) which members are of a family, and which of the others."""
        kept = self._families != without
        for kind in dict.fromkeys(self._families[kept].tolist()):
            own = self._families == kind
            others = kept & ~own
            yield own, others if others.any() else own

    def _spread(self, members: Array) -> Array:
        strengths, visible = self._strengths[members], self._visible[members]
        count = visible.sum(0)
        squares = (strengths.astype(float) ** 2).sum(0)
        enough = count >= min(_ENOUGH, count.max(initial=1))
        each = squares[enough] / count[enough]
        wide, middle = np.quantile(each, [_WIDE, 0.5]) if len(each) else (0.0, 0.0)
        joined = (squares + _UNSEEN * wide) / (count + _UNSEEN) + _PRIOR**2 * middle
        return np.asarray(np.sqrt(joined))


class TopAuditor:
    """Finds classes in what a suspect shows.

    Args:
        seen: of the suspect.
        hypotheses: classes.
        moves: what a moved body does.
        null: what benign changes show; None for no calibration.
        noise: standard deviation, nats, of a log-probability when the same is asked again.
        without: a family that the null is to lack.

    Attributes:
        seen: as given.
        judged: how many classes are.
        errors: (K,) standard errors of strengths, nats, by how contexts differ.
        null_maxima: (B,) largest scores of benign changes; empty without a null.
    """

    def __init__(
        self,
        seen: Seen,
        hypotheses: Hypotheses,
        moves: Moves,
        null: TopNull | None,
        *,
        noise: float = 0.0,
        without: str = "",
    ) -> None:
        self.hypotheses, self.seen = hypotheses, seen
        self._lens = TopShift(seen, hypotheses, moves)
        self._shares = null.shares if null else self._lens.shares()
        strengths, visible = _strengths(self._lens, self._lens.total(seen.ratios), self._shares)
        self.judged = int(visible.sum())
        scale = max(seen.scale, SMALLEST)
        self.errors = self._contexts_differ(strengths)
        self.null_maxima: Array = np.empty(0)
        if null is None:
            self._spread = np.zeros(len(strengths))
            self._reach = np.maximum(self.errors, SMALLEST / 10) / scale
            return
        besides = noise / scale / moves.noise
        self._spread = null.spread(without)
        self._reach = reach_of(self._spread, besides, self._lens, self._shares)
        self.null_maxima = null.maxima(without, besides)

    def best(self, seen: Seen) -> TopNamed | None:
        """The class that stands out most; None where none can be judged.

        Args:
            seen: of the suspect, or what is left of it.
        """
        found = _standing(self._lens, seen, self._shares, self._reach)
        if found is None:
            return None
        error = np.hypot(self._spread[found.index] * found.scale, self.errors[found.index])
        wide, p = 1.96 * float(error), None
        if len(self.null_maxima):
            above = int((self.null_maxima >= found.score).sum())
            p = (1 + above) / (len(self.null_maxima) + 1)
        interval = (found.strength - wide, found.strength + wide)
        return TopNamed(found.index, found.strength, interval, found.score, p)

    def without(self, seen: Seen, found: TopNamed) -> Seen:
        """What is left when a class is taken out."""
        return seen.less(found.strength * self._lens.at(found.index))

    def _contexts_differ(self, strengths: Array) -> Array:
        """(K,) standard errors, nats, by how contexts differ (a sandwich)."""
        lens = self._lens
        totals = np.asarray(lens.hypotheses.members @ lens.totals(self.seen.ratios).T)
        parts = lens.by_context * self._shares[:, None]
        deviations = totals - strengths[:, None] * parts
        contexts = parts.shape[1]
        squares = (deviations**2).sum(1) * contexts / max(1, contexts - 1)
        return np.asarray(np.sqrt(squares) / np.maximum(parts.sum(1), LEAST))


def reach_of(spread: Array, besides: float, lens: TopShift, shares: Array) -> Array:
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


def _strengths(lens: TopShift, total: Array, shares: Array) -> tuple[Array, Array]:
    """(K,) nats, 0 where a class is not judged; and which are."""
    information = lens.information * shares
    visible = lens.visible & (information >= LEAST)
    found = np.asarray(lens.hypotheses.members @ total) / np.maximum(information, LEAST)
    return np.where(visible, found, 0.0), visible


def _standing(lens: TopShift, seen: Seen, shares: Array, reach: Array) -> _Standing | None:
    """The class that stands out most, and by how much.

    Each candidate is taken out in turn. Its strength is divided by
    the scale of what is then left, which a strong tilt does not blow up, and by the spread that is
    left over all classes, where that is above 1: of classes that overlap the right one leaves
    least, and a change of unknown kind moves all classes a little (Efron 2004).
    """
    total = lens.total(seen.ratios)
    strengths, visible = _strengths(lens, total, shares)
    if not visible.any():
        return None
    members = lens.hypotheses.members
    rough = np.where(visible, np.abs(strengths) / reach, 0.0)
    found: dict[int, _Standing] = {}
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
        scale = max(seen.less(strength * change).scale, SMALLEST)
        rest = _strengths(lens, total - strength * tilt, shares)[0][visible]
        left = float(np.median(np.abs(rest / reach[visible]))) / 0.6745 / scale
        score = abs(strength) / scale / float(reach[index]) / max(1.0, left)
        found[index] = _Standing(index, strength, scale, score)
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
    return _Standing(chosen.index, chosen.strength, chosen.scale, most)
