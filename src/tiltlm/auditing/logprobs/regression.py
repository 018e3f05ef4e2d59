"""Strengths of classes where only a suspect's likeliest tokens are seen, by a regression.

At a position the suspect shows log-probabilities of a set T of tokens. What is outside T is not
known, and is not needed: within T the log-ratio of a tilt is β·1[v ∈ E] plus a number that all of T
share, so a regression within positions gives β whatever T is. Log-ratios are weighted by the
inverse of the covariance that a moved body gives them (`place_covariance`), which is generalised
least squares, and one Δh that all positions share is explained away too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.place_covariance import PlaceCovariance, within_place_scale

MIN_CONTEXTS, MIN_TOKENS, MIN_INFORMATION = 8, 2, 5.0
"""A class is tested if the information on it comes from at least so many contexts and so many
tokens, in effective numbers, and is at least that of so many tokens that nothing else moves, in
units of the model's scale."""


_MIN_INFORMATION_SHARE = 0.02
"""A class is not tested if the tokens beside it and a moved body leave less than this share of the
information on it."""


_LEAST_IN_CONTEXT = 2e-5
"""A context that has less than this share of the information on a class tells nothing of it."""


_MOST_IN_PLACE = 4.0
"""A position has at most so many times the information of the median position. Where a model shows
tokens that it was never trained on, whose rows are nearly the same, they would else have hundreds
of times that, and a class with one of them would be judged by it alone."""


_RIDGE = 1e-4
"""Added to the diagonal of the normal equations of the common Δh, as a share of its mean."""


_BLOCK = 64
"""Positions at which the masks of all classes are held at once."""


@dataclass(frozen=True)
class TopKLogRatios:
    """Log-ratios at the tokens that a suspect shows.

    Attributes:
        tokens: (N, T) ids at N positions, −1 where no token is shown.
        ratios: (N, T) log S − log R of these, nats.
        contexts: (N,) number of the context of each position, from 0 to A − 1.
    """

    tokens: Array
    ratios: Array
    contexts: Array

    @property
    def scale(self) -> float:
        """How far log-ratios differ from token to token within a position, nats."""
        return within_place_scale(self.tokens, self.ratios)

    def minus(self, change: Array) -> TopKLogRatios:
        """The same log-ratios with a change taken out.

        Args:
            change: (N, T) nats.
        """
        return replace(self, ratios=self.ratios - change)


class TopKRegression:
    """Generalised least squares of log-ratios on the indicator of a class, within positions.

    At each position the log-ratios r of the shown tokens are weighted by their precision P, which
    takes out what all tokens of the position share and weights down what a moved body does there. A
    Δh common to all positions is partialled out too (Frisch and Waugh 1933). With m the
    indicator of a class and sums over positions, the strength is β̂ = mᵀP r / mᵀP m, where r and m
    in the second factor are what that Δh leaves. The design depends on which tokens are shown, not
    on their log-ratios, so one regression serves many.

    Attributes:
        hypotheses: K classes.
        information_by_context: (K, A) information on each class in each context, as if its tokens
            stood alone: the sum of the diagonal of P over its tokens.
        information: (K,) the same over all contexts.
        testable: (K,) boolean: whether it comes from enough contexts and tokens.
    """

    def __init__(
        self, log_ratios: TopKLogRatios, hypotheses: TokenClasses, covariance: PlaceCovariance
    ) -> None:
        """Weigh the tokens that are shown.

        Args:
            log_ratios: whose tokens and contexts make the design.
            hypotheses: K classes.
            covariance: of log-ratios at a position, by what a moved body does.
        """
        self.hypotheses, self._contexts = hypotheses, log_ratios.contexts
        self._size = hypotheses.members.shape[1]
        self._shown = log_ratios.tokens >= 0
        self._tokens = np.where(self._shown, log_ratios.tokens, 0)
        self._precision = _evened(covariance.precision(log_ratios.tokens))
        self._head_rows = covariance.rows
        self._weighted_rows = self._precision @ covariance.rows[self._tokens]
        width = covariance.rows.shape[1]
        rows = covariance.rows[self._tokens].reshape(-1, width)
        normal = (rows.T @ self._weighted_rows.reshape(-1, width)).astype(float)
        self._normal_matrix: Array = normal + _RIDGE * np.trace(normal) / width * np.eye(width)
        diagonal = np.einsum("ntt->nt", self._precision)
        by_token_and_context = self._sum_by_context(diagonal)
        members = hypotheses.members
        self.information_by_context: Array = np.asarray(members @ by_token_and_context.T)
        self.information: Array = self.information_by_context.sum(1)
        by_token = by_token_and_context.sum(0)
        contexts = _effective_number(self.information, (self.information_by_context**2).sum(1))
        tokens = _effective_number(self.information, np.asarray(members @ by_token**2))
        self.testable: Array = (contexts >= MIN_CONTEXTS) & (tokens >= MIN_TOKENS)

    def token_sums(self, ratios: Array) -> Array:
        """The part of each token in the numerators: P r summed over positions.

        A class's numerator mᵀP r is the sum of this over its tokens.

        Args:
            ratios: (N, T) nats.

        Returns:
            (V,).
        """
        return self._sum_by_token(self._weighted_residuals(ratios))

    def token_sums_by_context(self, ratios: Array) -> Array:
        """`token_sums` of each context by itself.

        Args:
            ratios: (N, T) nats.

        Returns:
            (A, V).
        """
        return self._sum_by_context(self._weighted_residuals(ratios))

    def strengths_by_context(self, ratios: Array, index: int) -> tuple[Array, Array]:
        """The strength of one class in each context.

        Args:
            ratios: (N, T) nats.
            index: number of the class.

        Returns:
            (A,) nats, and (A,) mᵀP m there; both are 0 in contexts that tell nothing of the class.
        """
        indicator = self.indicator(index)
        count = int(self._contexts.max()) + 1
        numerators, information = (
            np.bincount(
                self._contexts, (self._weighted_residuals(v) * indicator).sum(1), minlength=count
            )
            for v in (ratios, indicator)
        )
        told = information > max(_LEAST_IN_CONTEXT * float(information.sum()), 0.0)
        strengths = np.where(told, numerators / np.where(told, information, 1), 0.0)
        return strengths, np.where(told, information, 0.0)

    def indicator(self, index: int) -> Array:
        """What a tilt of 1 of one class changes: 1 where one of its tokens is shown.

        Args:
            index: number of the class.

        Returns:
            (N, T).
        """
        mask = self.hypotheses.members[index].toarray()[0].astype(np.float32)
        return np.where(self._shown, mask[self._tokens], 0)

    def information_shares(self) -> Array:
        """How much of the information on each class the tokens beside it and a body leave.

        Returns:
            (K,) mᵀP m, without what the common Δh explains, over `information`; 0 where it is too
            little to test the class.
        """
        members = self.hypotheses.members.tocsc()
        remaining = np.zeros(members.shape[0])
        for begin in range(0, len(self._tokens), _BLOCK):
            tokens, shown = (part[begin : begin + _BLOCK] for part in (self._tokens, self._shown))
            masks = members[:, tokens.ravel()].toarray().reshape(-1, *tokens.shape) * shown
            indicators = masks.transpose(1, 2, 0).astype(np.float32)  # (n, T, K)
            weighted = self._precision[begin : begin + _BLOCK] @ indicators
            remaining += (weighted * indicators).sum((0, 1), dtype=float)
        width = self._head_rows.shape[1]
        weighted_rows = np.zeros((self._size, width), np.float32)
        np.add.at(weighted_rows, self._tokens[self._shown], self._weighted_rows[self._shown])
        cross = np.asarray(self.hypotheses.members @ weighted_rows, float)
        remaining -= (np.linalg.solve(self._normal_matrix, cross.T).T * cross).sum(1)
        shares = remaining / np.maximum(self.information, 1e-300)
        enough = (self.information > 0) & (shares >= _MIN_INFORMATION_SHARE)
        return np.asarray(np.where(enough, shares, 0.0))

    def _weighted_residuals(self, ratios: Array) -> Array:
        """(N, T) P r, with r what the common Δh leaves of (N, T) log-ratios."""
        ratios = np.where(self._shown, ratios, 0).astype(np.float32)
        weighted = (self._precision @ ratios[..., None])[..., 0]
        right_side = self._sum_by_token(weighted) @ self._head_rows
        common_move = np.linalg.solve(self._normal_matrix, right_side).astype(np.float32)
        return np.asarray(weighted - self._weighted_rows @ common_move)

    def _sum_by_token(self, values: Array) -> Array:
        """(V,) sums of (N, T) values over the positions that show each token."""
        return np.bincount(self._tokens.ravel(), values.ravel(), minlength=self._size)

    def _sum_by_context(self, values: Array) -> Array:
        """(A, V) the same in each context."""
        count = int(self._contexts.max()) + 1
        cells = self._contexts[:, None] * self._size + self._tokens
        sums = np.bincount(cells.ravel(), values.ravel(), minlength=count * self._size)
        return sums.reshape(count, self._size)


def _evened(precision: Array) -> Array:
    """(N, T, T) precisions, those of positions with more information than `_MOST_IN_PLACE` less.

    A position that weighs less leaves strengths unbiased.
    """
    information = np.einsum("ntt->n", precision)
    most = _MOST_IN_PLACE * float(np.median(information))
    shares = np.minimum(1.0, most / np.maximum(information, 1e-300))
    return np.asarray(precision * shares[:, None, None].astype(precision.dtype))


def _effective_number(sums: Array, squares: Array) -> Array:
    """(K,) effective number of parts, (Σw)² / Σw², from (K,) sums and sums of squares (Kish)."""
    return np.asarray(sums**2 / np.where(squares > 0, squares, np.inf))
