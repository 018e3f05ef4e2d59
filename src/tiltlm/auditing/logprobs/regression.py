"""Strengths of classes where only a suspect's likeliest tokens are seen.

At a place the suspect shows log-probabilities of a set T of tokens. What is outside T is not
known, and is not needed: within T the log-ratio of a tilt is β·1[v ∈ E] plus a number that all of T
share, so a regression within places gives β whatever T is. Log-ratios are weighted by the inverse
of the covariance that a moved body gives them (`moves`), which is generalised least squares; one Δh
that all places share is explained away besides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.place_covariance import PlaceCovariance, scale_of

FEWEST_CONTEXTS, FEWEST_TOKENS, LEAST = 8, 2, 5.0
"""A class is judged if the information on it comes from as many contexts and tokens, in effect,
and is worth as many tokens that nothing else moves, in units of the scale."""


_OWN = 0.02
"""Share of a class's information that tokens beside it and a moved body must leave."""


_RIDGE, _BLOCK = 1e-4, 64


@dataclass(frozen=True)
class TopKLogRatios:
    """Log-ratios at the tokens that were shown.

    Attributes:
        tokens: (N, T) ids at N places, −1 where nothing was shown.
        ratios: (N, T) log S − log R, nats.
        contexts: (N,) which context each place is in, from 0.
    """

    tokens: Array
    ratios: Array
    contexts: Array

    @property
    def scale(self) -> float:
        """Nats by which log-ratios differ within a place."""
        return scale_of(self.tokens, self.ratios)

    def less(self, change: Array) -> TopKLogRatios:
        """With (N, T) nats taken out."""
        return replace(self, ratios=self.ratios - change)


class TopKRegression:
    """The regression at what one model shows; it depends on which tokens these are, not on ratios.

    Args:
        seen: what is shown.
        hypotheses: K classes.
        moves: what a moved body does.
    """

    def __init__(
        self, seen: TopKLogRatios, hypotheses: TokenClasses, moves: PlaceCovariance
    ) -> None:
        self.hypotheses, self._contexts = hypotheses, seen.contexts
        self._size = hypotheses.members.shape[1]
        self._shown = seen.tokens >= 0
        self._flat = np.where(self._shown, seen.tokens, 0)
        self._precision = moves.precision(seen.tokens)
        self._rows = moves.rows
        self._weighed = self._precision @ moves.rows[self._flat]
        width = moves.rows.shape[1]
        rows = moves.rows[self._flat].reshape(-1, width)
        gram = (rows.T @ self._weighed.reshape(-1, width)).astype(float)
        self._gram: Array = gram + _RIDGE * np.trace(gram) / width * np.eye(width)
        own = np.einsum("ntt->nt", self._precision)
        self.by_context: Array = np.asarray(hypotheses.members @ self._by_context(own).T)
        """(K, A) information on each class in each context, as if tokens were alone."""
        self.information: Array = self.by_context.sum(1)
        tokens = self._by_context(own).sum(0)
        contexts = _effective(self.information, (self.by_context**2).sum(1))
        of_tokens = _effective(self.information, np.asarray(hypotheses.members @ tokens**2))
        self.visible: Array = (contexts >= FEWEST_CONTEXTS) & (of_tokens >= FEWEST_TOKENS)

    def total(self, ratios: Array) -> Array:
        """(V,) what is summed over a class's tokens, once one common Δh was explained.

        Args:
            ratios: (N, T) nats.
        """
        return self._by_token(self._clear(ratios))

    def totals(self, ratios: Array) -> Array:
        """(A, V) the same in each context."""
        return self._by_context(self._clear(ratios))

    def at(self, index: int) -> Array:
        """(N, T) what a tilt of 1 of one class changes."""
        mask = self.hypotheses.members[index].toarray()[0].astype(np.float32)
        return np.where(self._shown, mask[self._flat], 0)

    def shares(self) -> Array:
        """(K,) how much of the information on each class is left by tokens beside it and a body."""
        members = self.hypotheses.members.tocsc()
        left = np.zeros(members.shape[0])
        for begin in range(0, len(self._flat), _BLOCK):
            flat, shown = (part[begin : begin + _BLOCK] for part in (self._flat, self._shown))
            masks = members[:, flat.ravel()].toarray().reshape(-1, *flat.shape) * shown
            place = masks.transpose(1, 2, 0).astype(np.float32)  # (n, T, K)
            weighed = self._precision[begin : begin + _BLOCK] @ place
            left += (weighed * place).sum((0, 1), dtype=float)
        width = self._rows.shape[1]
        crossed = np.zeros((self._size, width), np.float32)
        np.add.at(crossed, self._flat[self._shown], self._weighed[self._shown])
        with_body = np.asarray(self.hypotheses.members @ crossed, float)
        left -= (np.linalg.solve(self._gram, with_body.T).T * with_body).sum(1)
        share = left / np.maximum(self.information, 1e-300)
        return np.asarray(np.where((self.information > 0) & (share >= _OWN), share, 0.0))

    def _clear(self, ratios: Array) -> Array:
        """(N, T) weighted log-ratios without what one Δh explains."""
        ratios = np.where(self._shown, ratios, 0).astype(np.float32)
        weighed = (self._precision @ ratios[..., None])[..., 0]
        asked = self._by_token(weighed) @ self._rows
        moved = np.linalg.solve(self._gram, asked).astype(np.float32)
        return np.asarray(weighed - self._weighed @ moved)

    def _by_token(self, values: Array) -> Array:
        return np.bincount(self._flat.ravel(), values.ravel(), minlength=self._size)

    def _by_context(self, values: Array) -> Array:
        count = int(self._contexts.max()) + 1
        place = self._contexts[:, None] * self._size + self._flat
        found = np.bincount(place.ravel(), values.ravel(), minlength=count * self._size)
        return found.reshape(count, self._size)


def _effective(sums: Array, squares: Array) -> Array:
    return np.asarray(sums**2 / np.where(squares > 0, squares, np.inf))
