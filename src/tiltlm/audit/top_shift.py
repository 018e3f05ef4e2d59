"""A suspect's shift where only its likeliest tokens are seen, and classes in it.

At a position the suspect shows log-probabilities of a set T of tokens. What is outside T is not
known, and is not needed: within T the log-ratio of a tilt is β·1[v ∈ E] plus a number that all of T
share, so a regression within positions gives β whatever T is. Tokens count by their probability
under the reference given T, which is the Fisher information of β. One Δh common to all positions
may be explained away first, as a moved body does (`filters`).

The same regression has been made of each member of a pack at the same contexts, so the largest
score over all classes is compared with theirs (Westfall and Young 1993). Where a suspect was asked
at some of the positions only, members get noise of that size: signs of the contexts' own
deviations, drawn anew. (A member's mean log-ratio over all positions will not do: where a token is
likely, benign changes move it otherwise than elsewhere.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tiltlm.audit.filters import RAREST, Array
from tiltlm.audit.hypotheses import Hypotheses

FEWEST_CONTEXTS = 8
"""A class is judged if the information on it comes from as many contexts, in effect."""

_PRIOR = 0.5
_RIDGE = 1e-3
_CANDIDATES = 12
_LEAST = 1e-4
"""Nats: no strength is surer than this."""


@dataclass(frozen=True)
class Seen:
    """Log-ratios at the tokens that were shown, a row for each.

    Attributes:
        tokens: (R,) ids.
        positions: (R,) which position, from 0.
        contexts: (N,) which context each position is in, from 0.
        reference: (R,) log R.
        suspect: (R,) log S.
    """

    tokens: Array
    positions: Array
    contexts: Array
    reference: Array
    suspect: Array


class TopShift:
    """Strengths of classes, by regression within positions.

    Args:
        seen: what was shown; positions with fewer than two tokens say nothing.
        hypotheses: K classes.
        rows: (V, D) of the reference's head, to explain one Δh away; None not to.
    """

    def __init__(self, seen: Seen, hypotheses: Hypotheses, rows: Array | None) -> None:
        size = hypotheses.members.shape[1]
        count = len(seen.contexts)
        self.hypotheses = hypotheses
        self._echoes: dict[int, Array] = {}
        likely = np.exp(seen.reference)
        total = np.bincount(seen.positions, likely, minlength=count)
        weights = likely / total[seen.positions]
        shape = (count, size)
        self._weights = sparse.csr_matrix((weights, (seen.positions, seen.tokens)), shape=shape)
        self._told: Array = np.asarray(self._weights.sum(0)).ravel()
        masses = (self._weights @ hypotheses.members.T).tocsr()
        """(N, K) probability of each class given the tokens shown."""
        self._masses = masses
        change = seen.suspect - seen.reference
        self._ratios = sparse.csr_matrix((change, (seen.positions, seen.tokens)), shape=shape)
        groups = sparse.csr_matrix(
            (np.ones(count), (seen.contexts, np.arange(count))),
            shape=(seen.contexts.max() + 1, count),
        )
        self._groups = groups
        own = np.asarray((groups @ (masses - masses.multiply(masses))).todense())
        """(A, K) Fisher information on each class in each context."""
        self._own: Array = own
        self.information: Array = own.sum(0)
        squares = (own**2).sum(0)
        effective = self.information**2 / np.where(squares > 0, squares, np.inf)
        self._rows = rows
        self._body = self._body_of(rows) if rows is not None else None
        left = self.information.copy()
        if self._body is not None:
            left = left - (self._cross * self._body).sum(1)
        # A class that a moved body explains, or that is all or nothing, is not to be seen here.
        enough = (left > 0.02 * self.information) & (left > RAREST * count)
        self.visible: Array = enough & (effective >= FEWEST_CONTEXTS)
        self._left = np.where(self.visible, left, 1.0)

    def strengths(self, scores: Array) -> Array:
        """(…, K) nats.

        Args:
            scores: (…, V) of `scores` or `of_shifts`.
        """
        found = np.asarray((self.hypotheses.members @ scores.T).T)
        if self._body is not None:
            assert self._rows is not None
            found = found - (scores @ self._rows) @ self._body.T
        return np.where(self.visible, found / self._left, 0.0)

    def scores(self) -> tuple[Array, Array]:
        """What the suspect shows: (V,) Σ w(Δ − Δ̄) of each token, and (A, V) of each context."""
        by_context = self._by_context(self._weights.multiply(self._ratios).tocsr())
        return by_context.sum(0), by_context

    def of_shifts(self, shifts: Array) -> Array:
        """(B, V) the same for models whose log-ratio is (B, V) everywhere."""
        middle = np.asarray(self._weights @ shifts.T)
        return np.asarray(self._told * shifts - (self._weights.T @ middle).T)

    def of_class(self, index: int) -> Array:
        """(V,) the same for a tilt of 1 of one class."""
        mask = np.asarray(self.hypotheses.members[index].todense(), float)
        return np.asarray(self.of_shifts(mask)[0])

    def echo(self, index: int) -> Array:
        """(K,) strengths that a tilt of 1 of one class gives to all."""
        if index not in self._echoes:
            self._echoes[index] = self.strengths(self.of_class(index))
        return self._echoes[index]

    def deviations(self, by_context: Array, strengths: Array) -> Array:
        """(A, K) by how much each context moves each strength away from the mean over contexts."""
        if self._body is not None:  # what the one Δh explains of a context is no deviation
            assert self._rows is not None
            moved = np.linalg.solve(self._gram, by_context.sum(0) @ self._rows)
            explained = self._weights @ sparse.diags(self._rows @ moved)
            by_context = by_context - self._by_context(explained.tocsr())
        own = self._own * self._left / np.where(self.information > 0, self.information, 1.0)
        found = np.asarray((self.hypotheses.members @ by_context.T).T)
        if self._body is not None:
            found -= (by_context @ self._rows) @ self._body.T
        return np.where(self.visible, (found - own * strengths) / self._left, 0.0)

    def _by_context(self, weighed: sparse.csr_matrix) -> Array:
        """(A, V) Σ over a context's positions of what is given, less its mean by probability."""
        middle = np.asarray(weighed.sum(1)).ravel()
        by_position = weighed - sparse.diags(middle) @ self._weights
        return np.asarray((self._groups @ by_position).todense())

    def _body_of(self, rows: Array) -> Array:
        """(K, D) what of each class one Δh explains."""
        middle = np.asarray(self._weights @ rows)
        gram = (rows * self._told[:, None]).T @ rows - middle.T @ middle
        gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        self._gram: Array = gram
        members = self.hypotheses.members
        crossed = members @ (rows * self._told[:, None]) - self._masses.T @ middle
        self._cross: Array = np.asarray(crossed)
        return np.asarray(np.linalg.solve(gram, self._cross.T).T)


@dataclass(frozen=True)
class TopNull:
    """What benign changes show.

    Attributes:
        where: what the reference shows at the pack's contexts, as a suspect of itself.
        weighed: (B, V) sums over these of q·(Δ − Σ q·Δ).
        families: (B,) of what kind each is; each is scored by what the others do.
    """

    where: Seen
    weighed: Array
    families: Sequence[str]

    def but(self, family: str) -> TopNull:
        """Without a family."""
        others = np.array(self.families) != family
        return TopNull(self.where, self.weighed[others], np.array(self.families)[others].tolist())


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


class TopAuditor:
    """Finds classes in what was shown, with or without and after a moved body.

    Args:
        seen: of the suspect.
        hypotheses: classes.
        rows: (V, D) of the reference's head.
        null: what benign changes show; None for no calibration.
        sampled: share of the variance between contexts that the null does not have: 0 where both
            were read at the same positions.
        seed: of the signs.
    """

    def __init__(
        self,
        seen: Seen,
        hypotheses: Hypotheses,
        rows: Array,
        null: TopNull | None,
        sampled: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.hypotheses = hypotheses
        self._lenses = {
            body: TopShift(seen, hypotheses, rows if body else None) for body in (False, True)
        }
        self._units, self._spreads, self._errors, self._scored_by = {}, {}, {}, {}
        maxima = []
        self.total, by_context = self._lenses[False].scores()
        contexts = len(by_context)
        members = 0 if null is None else len(null.weighed)
        signs = np.random.default_rng([seed, 7_919]).choice([-1.0, 1.0], size=(members, contexts))
        for body, lens in self._lenses.items():
            deviations = lens.deviations(by_context, lens.strengths(self.total))
            error = np.sqrt((deviations**2).sum(0) * contexts / max(1, contexts - 1))
            self._errors[body] = self._scored_by[body] = error
            self._spreads[body] = np.zeros_like(error)
            self._units[body] = 1.0
            if null is None:
                continue
            theirs = TopShift(null.where, hypotheses, rows if body else None)
            lens.visible &= theirs.visible
            theirs.visible = lens.visible
            benign = theirs.strengths(null.weighed)
            noisy = benign + sampled**0.5 * (signs @ deviations)
            self._scored_by[body] = sampled**0.5 * error
            kinds = np.array(null.families if len(set(null.families)) > 2 else range(members))
            found = _maxima(theirs, benign, noisy, self._scored_by[body], kinds)
            self._spreads[body] = spread_of(benign)
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
            error = np.hypot(self._spreads[body], self._errors[body])
            reach = np.hypot(self._spreads[body], self._scored_by[body])
            index, score = _standing(lens, strengths, reach)
            score /= self._units[body]
            strength, wide = float(strengths[index]), 1.96 * float(error[index])
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
    best = _simplest(standing, lens.hypotheses)
    return best, float(standing[best])


def _simplest(scores: Array, hypotheses: Hypotheses) -> int:
    """The best, or a class much like it that explains nearly as well with a shorter name."""
    best = int(scores.argmax())
    ours = set(hypotheses.token_ids(best))

    def alike(index: int) -> bool:
        theirs = set(hypotheses.token_ids(index))
        return len(ours & theirs) >= 0.5 * len(ours | theirs)

    near = [int(i) for i in np.flatnonzero(scores >= 0.95 * scores[best]) if alike(int(i))]
    return min(near, key=lambda i: (len(hypotheses.names[i]), i))


def _maxima(lens: TopShift, benign: Array, noisy: Array, error: Array, kinds: Array) -> Array:
    """(B,) the largest score of each member, by the spread of those of other families."""
    found = np.zeros(len(benign))
    for kind in set(kinds.tolist()):
        own = kinds == kind
        others = benign[~own] if (~own).any() else benign
        reach = np.hypot(spread_of(others), error)
        for member in np.flatnonzero(own):
            found[member] = _standing(lens, noisy[member], reach)[1]
    return found
