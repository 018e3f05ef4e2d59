"""Strengths of classes where only a suspect's likeliest tokens are seen.

At a position the suspect shows log-probabilities of a set T of tokens. What is outside T is not
known, and is not needed: within T the log-ratio of a tilt is β·1[v ∈ E] plus a number that all of T
share, so a regression within positions gives β whatever T is. Tokens count by their probability
under the reference given T, which is the Fisher information of β. One Δh common to all positions
may be explained away first, as a moved body does (`filters`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tiltlm.audit.filters import RAREST, Array
from tiltlm.audit.hypotheses import Hypotheses

FEWEST_CONTEXTS = 8
"""A class is judged if the information on it comes from as many contexts, in effect."""

_RIDGE = 1e-3


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
        return np.where(self.visible, self._numerators(scores) / self._left, 0.0)

    def _numerators(self, scores: Array) -> Array:
        """(…, K) what a strength is the quotient of, with the information that is left."""
        found = np.asarray((self.hypotheses.members @ scores.T).T)
        if self._body is None:
            return found
        assert self._rows is not None
        return np.asarray(found - (scores @ self._rows) @ self._body.T)

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
        found = self._numerators(by_context) - own * strengths
        return np.where(self.visible, found / self._left, 0.0)

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
