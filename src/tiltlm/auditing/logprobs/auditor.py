"""Classes named from the likeliest tokens alone, with a p-value that the null vouches for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logprobs.null import TopKNull
from tiltlm.auditing.logprobs.ranking import class_scales, class_strengths, rank_classes
from tiltlm.auditing.logprobs.regression import LEAST, TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.place_covariance import SMALLEST_SCALE, PlaceCovariance


@dataclass(frozen=True)
class TopKFinding:
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


class TopKAuditor:
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
        seen: TopKLogRatios,
        hypotheses: TokenClasses,
        moves: PlaceCovariance,
        null: TopKNull | None,
        *,
        noise: float = 0.0,
        without: str = "",
    ) -> None:
        self.hypotheses, self.seen = hypotheses, seen
        self._lens = TopKRegression(seen, hypotheses, moves)
        self._shares = null.shares if null else self._lens.shares()
        strengths, visible = class_strengths(
            self._lens, self._lens.total(seen.ratios), self._shares
        )
        self.judged = int(visible.sum())
        scale = max(seen.scale, SMALLEST_SCALE)
        self.errors = self._contexts_differ(strengths)
        self.null_maxima: Array = np.empty(0)
        if null is None:
            self._spread = np.zeros(len(strengths))
            self._reach = np.maximum(self.errors, SMALLEST_SCALE / 10) / scale
            return
        besides = noise / scale / moves.noise
        self._spread = null.spread(without)
        self._reach = class_scales(self._spread, besides, self._lens, self._shares)
        self.null_maxima = null.maxima(without, besides)

    def best(self, seen: TopKLogRatios) -> TopKFinding | None:
        """The class that stands out most; None where none can be judged.

        Args:
            seen: of the suspect, or what is left of it.
        """
        found = rank_classes(self._lens, seen, self._shares, self._reach)
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
        return TopKFinding(found.index, found.strength, interval, found.score, p)

    def without(self, seen: TopKLogRatios, found: TopKFinding) -> TopKLogRatios:
        """What is left when a class is taken out."""
        return seen.less(found.strength * self._lens.at(found.index))

    def by_context(self, seen: TopKLogRatios, index: int) -> tuple[Array, Array]:
        """(A,) strengths of one class in each context, nats, and the information on each."""
        totals, information = self._parts(seen, index)
        return totals / np.maximum(information, 1e-12), information

    def _contexts_differ(self, strengths: Array) -> Array:
        """(K,) standard errors, nats, by how contexts differ (a sandwich)."""
        lens = self._lens
        totals = np.asarray(lens.hypotheses.members @ lens.totals(self.seen.ratios).T)
        return _sandwich(totals, lens.by_context * self._shares[:, None], strengths)

    def _parts(self, seen: TopKLogRatios, index: int) -> tuple[Array, Array]:
        """(A,) numerators of one class's strength in each context, and the information there."""
        lens = self._lens
        totals = np.asarray(lens.hypotheses.members[index] @ lens.totals(seen.ratios).T)
        return totals.ravel(), lens.by_context[index] * self._shares[index]


def _sandwich(totals: Array, parts: Array, strengths: Array) -> Array:
    """(K,) standard errors of strengths, from numerators and information in A contexts, (K, A)."""
    deviations, contexts = totals - strengths[:, None] * parts, parts.shape[1]
    squares = (deviations**2).sum(1) * contexts / max(1, contexts - 1)
    return np.asarray(np.sqrt(squares) / np.maximum(parts.sum(1), LEAST))
