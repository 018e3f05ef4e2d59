"""Classes named from the likeliest tokens alone, with a p-value that the null vouches for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.audit.filters import Array
from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.audit.moves import SMALLEST, Moves
from tiltlm.audit.top_null import TopNull
from tiltlm.audit.top_shift import LEAST, Seen, TopShift
from tiltlm.audit.top_standing import reach_of, standing, strengths_of


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
        strengths, visible = strengths_of(self._lens, self._lens.total(seen.ratios), self._shares)
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
        found = standing(self._lens, seen, self._shares, self._reach)
        if found is None:
            return None
        totals, parts = self._parts(seen, found.index)
        by_contexts = _sandwich(totals[None], parts[None], np.array([found.strength]))[0]
        error = np.hypot(self._spread[found.index] * found.scale, by_contexts)
        wide, p = 1.96 * float(error), None
        if len(self.null_maxima):
            above = int((self.null_maxima >= found.score).sum())
            p = (1 + above) / (len(self.null_maxima) + 1)
        interval = (found.strength - wide, found.strength + wide)
        return TopNamed(found.index, found.strength, interval, found.score, p)

    def without(self, seen: Seen, found: TopNamed) -> Seen:
        """What is left when a class is taken out."""
        return seen.less(found.strength * self._lens.at(found.index))

    def by_context(self, seen: Seen, index: int) -> tuple[Array, Array]:
        """(A,) strengths of one class in each context, nats, and the information on each."""
        totals, information = self._parts(seen, index)
        return totals / np.maximum(information, 1e-12), information

    def _contexts_differ(self, strengths: Array) -> Array:
        """(K,) standard errors, nats, by how contexts differ (a sandwich)."""
        lens = self._lens
        totals = np.asarray(lens.hypotheses.members @ lens.totals(self.seen.ratios).T)
        return _sandwich(totals, lens.by_context * self._shares[:, None], strengths)

    def _parts(self, seen: Seen, index: int) -> tuple[Array, Array]:
        """(A,) numerators of one class's strength in each context, and the information there."""
        lens = self._lens
        totals = np.asarray(lens.hypotheses.members[index] @ lens.totals(seen.ratios).T)
        return totals.ravel(), lens.by_context[index] * self._shares[index]


def _sandwich(totals: Array, parts: Array, strengths: Array) -> Array:
    """(K,) standard errors of strengths, from numerators and information in A contexts, (K, A)."""
    deviations, contexts = totals - strengths[:, None] * parts, parts.shape[1]
    squares = (deviations**2).sum(1) * contexts / max(1, contexts - 1)
    return np.asarray(np.sqrt(squares) / np.maximum(parts.sum(1), LEAST))
