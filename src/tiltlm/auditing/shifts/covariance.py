"""How benign changes move hidden states: a covariance over strata and dimensions, and its inverse.

There are many more numbers in a move (strata times dimensions) than benign changes to learn from.
So the covariance is a mixture: what the changes themselves span, and a product of one matrix
between strata and one between dimensions, which needs few (matrix-normal; Dutilleul 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


_OWN = 0.6
"""Share of the covariance that is the changes' own; the rest is the product's."""


_BETWEEN, _WITHIN = 0.01, 0.1
"""Shrinkage of the product's two factors towards a multiple of the identity."""


_ROUNDS = 3


_BLOCK = 512


@dataclass(frozen=True)
class MoveCovariance:
    """The inverse of the covariance, by Woodbury's identity: nothing of its own size is kept.

    Attributes:
        between: (S, S) inverse of the factor between strata.
        within: (D, D) inverse of the factor between dimensions.
        spanned: (B, S·D) the changes, multiplied by the product's inverse.
        inner: (B, B) inverse of the middle matrix.
    """

    between: Array
    within: Array
    spanned: Array
    inner: Array

    @classmethod
    def of(cls, null: Array) -> MoveCovariance:
        """Learn from benign moves, each of which counts alike whatever its size.

        Args:
            null: (B, S, D).
        """
        sizes = np.sqrt((null**2).mean((1, 2), keepdims=True)) + 1e-9
        scaled = null / sizes
        between, within = _factors(scaled)
        between, within = np.linalg.inv(between) / (1 - _OWN), np.linalg.inv(within)
        spanned = (between @ scaled @ within).reshape(len(null), -1)
        middle = spanned @ scaled.reshape(len(null), -1).T + len(null) / _OWN * np.eye(len(null))
        return cls(between, within, spanned, np.linalg.inv(middle))

    def whitened(self, moves: Array) -> Array:
        """(N, S·D) (N, S, D) moves, multiplied by the covariance's inverse."""
        plain = (self.between @ moves @ self.within).reshape(len(moves), -1)
        known = moves.reshape(len(moves), -1) @ self.spanned.T
        return np.asarray(plain - known @ self.inner @ self.spanned)

    def lengths(self, moves: Array) -> Array:
        """(N,) root mean square of (N, S, D) moves, in units of the noise."""
        squares = (self.whitened(moves) * moves.reshape(len(moves), -1)).mean(1)
        return np.asarray(np.sqrt(squares.clip(0)) + 1e-9)

    def norms(self, flat: Array) -> Array:
        """(K,) of (K, S·D) templates, in units of the noise."""
        # Of thousands of templates, for every fold of every family: in single precision.
        between, within, spanned, inner = (
            a.astype(np.float32) for a in (self.between, self.within, self.spanned, self.inner)
        )
        squares = []
        for rows in np.split(flat, range(_BLOCK, len(flat), _BLOCK)):
            block = rows.astype(np.float32)
            templates = block.reshape(-1, len(between), len(within))
            known = block @ spanned.T
            plain = (between @ (templates @ within) * templates).sum((1, 2))
            squares.append(plain - (known @ inner * known).sum(1))
        return np.asarray(np.sqrt(np.concatenate(squares).astype(float).clip(1e-300)))


def _factors(scaled: Array) -> tuple[Array, Array]:
    """(S, S) and (D, D), each given the other, in turn."""
    count, strata, width = scaled.shape
    between = np.eye(strata)
    for _ in range(_ROUNDS):
        other = (np.linalg.inv(between) @ scaled).reshape(-1, width)
        within = _shrunk(scaled.reshape(-1, width).T @ other / (count * strata), _WITHIN)
        other = (scaled @ np.linalg.inv(within)).transpose(1, 0, 2).reshape(strata, -1)
        plain = scaled.transpose(1, 0, 2).reshape(strata, -1)
        between = _shrunk(other @ plain.T / (count * width), _BETWEEN)
    return between, within


def _shrunk(matrix: Array, share: float) -> Array:
    level = np.trace(matrix) / len(matrix)
    return np.asarray((1 - share) * matrix + share * level * np.eye(len(matrix)))
