"""The covariance of benign moves over strata of positions and hidden dimensions, and its inverse.

A move is a change Δh of the hidden state, here one of D dimensions in each of S strata. A pack has
far fewer benign changes than a move has numbers, S·D, so their sample covariance has no inverse.
The covariance is therefore taken as a mixture: of the sample covariance, and of a product of one
matrix between strata and one between dimensions (matrix-normal; Dutilleul 1999), which has few
parameters. Knows no models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array

_SAMPLE_WEIGHT = 0.6
"""Weight of the sample covariance in the mixture; the matrix-normal product has the rest."""


_STRATA_SHRINKAGE, _DIMENSION_SHRINKAGE = 0.01, 0.1
"""Shrinkage of the two factors of the product towards a multiple of the identity."""


_ROUNDS = 3
"""Rounds in which the two factors are estimated in turn."""


_BLOCK = 512
"""Templates whose norms are computed at once."""


@dataclass(frozen=True)
class MoveCovariance:
    """The covariance Σ of benign moves, kept as the parts of its inverse.

    Σ = (1 − ω)·(C_S ⊗ C_D) + ω·XᵀX / B, with the B scaled benign moves as rows of X (B, S·D) and ω
    the weight of the sample covariance. By Woodbury's identity, with P the inverse of the first
    term, Σ⁻¹ = P − P Xᵀ (B/ω·I + X P Xᵀ)⁻¹ X P, so that no matrix of the size of Σ is ever made.

    Attributes:
        strata_precision: (S, S) inverse of C_S, divided by 1 − ω.
        dimension_precision: (D, D) inverse of C_D.
        member_products: (B, S·D) X P, float32.
        woodbury_inverse: (B, B) inverse of the inner matrix B/ω·I + X P Xᵀ.
    """

    strata_precision: Array
    dimension_precision: Array
    member_products: Array
    woodbury_inverse: Array

    @classmethod
    def of(cls, null: Array) -> MoveCovariance:
        """Estimate the covariance from benign moves, each of which counts alike whatever its size.

        Args:
            null: (B, S, D) benign moves.
        """
        count = len(null)
        sizes = np.sqrt((null**2).mean((1, 2), keepdims=True)) + 1e-9
        scaled = null / sizes
        strata_factor, dimension_factor = _matrix_normal_factors(scaled)
        strata_precision = np.linalg.inv(strata_factor) / (1 - _SAMPLE_WEIGHT)
        dimension_precision = np.linalg.inv(dimension_factor)
        products = (strata_precision @ scaled @ dimension_precision).reshape(count, -1)
        inner = products @ scaled.reshape(count, -1).T + count / _SAMPLE_WEIGHT * np.eye(count)
        inverse = np.linalg.inv(inner)
        return cls(strata_precision, dimension_precision, products.astype(np.float32), inverse)

    def apply_precision(self, moves: Array) -> Array:
        """Moves multiplied by the inverse covariance, Σ⁻¹ m.

        Args:
            moves: (N, S, D).

        Returns:
            (N, S·D).
        """
        direct = (self.strata_precision @ moves @ self.dimension_precision).reshape(len(moves), -1)
        projections = moves.reshape(len(moves), -1) @ self.member_products.T
        return np.asarray(direct - projections @ self.woodbury_inverse @ self.member_products)

    def mahalanobis_rms(self, moves: Array) -> Array:
        """The size of moves in units of the noise: √(mᵀ Σ⁻¹ m / S·D).

        Args:
            moves: (N, S, D).

        Returns:
            (N,), above 0.
        """
        squares = (self.apply_precision(moves) * moves.reshape(len(moves), -1)).mean(1)
        return np.asarray(np.sqrt(squares.clip(0)) + 1e-9)

    def mahalanobis_norms(self, templates: Array) -> Array:
        """The norms of templates in units of the noise: √(tᵀ Σ⁻¹ t).

        Args:
            templates: (K, S·D).

        Returns:
            (K,), above 0.
        """
        # In single precision, since there are thousands of templates for every fold of every
        # family.
        strata_precision, dimension_precision, products, woodbury_inverse = (
            part.astype(np.float32)
            for part in (
                self.strata_precision,
                self.dimension_precision,
                self.member_products,
                self.woodbury_inverse,
            )
        )
        squares = []
        for rows in np.split(templates, range(_BLOCK, len(templates), _BLOCK)):
            flat = rows.astype(np.float32)
            block = flat.reshape(-1, len(strata_precision), len(dimension_precision))
            projections = flat @ products.T
            direct = (strata_precision @ (block @ dimension_precision) * block).sum((1, 2))
            squares.append(direct - (projections @ woodbury_inverse * projections).sum(1))
        return np.asarray(np.sqrt(np.concatenate(squares).astype(float).clip(1e-300)))


def _matrix_normal_factors(scaled: Array) -> tuple[Array, Array]:
    """Estimate the covariance between strata and that between dimensions, each given the other.

    Args:
        scaled: (B, S, D) moves of one size.

    Returns:
        (S, S) and (D, D).

    Source: Dutilleul 1999, the "flip-flop" algorithm of the matrix-normal distribution.
    """
    count, strata, width = scaled.shape
    strata_factor = np.eye(strata)
    for _ in range(_ROUNDS):
        whitened = (np.linalg.inv(strata_factor) @ scaled).reshape(-1, width)
        dimension_factor = _shrink(
            scaled.reshape(-1, width).T @ whitened / (count * strata), _DIMENSION_SHRINKAGE
        )
        whitened = scaled @ np.linalg.inv(dimension_factor)
        whitened = whitened.transpose(1, 0, 2).reshape(strata, -1)
        by_stratum = scaled.transpose(1, 0, 2).reshape(strata, -1)
        strata_factor = _shrink(whitened @ by_stratum.T / (count * width), _STRATA_SHRINKAGE)
    return strata_factor, dimension_factor


def _shrink(matrix: Array, share: float) -> Array:
    """A covariance matrix moved by a share towards the multiple of the identity of its trace."""
    level = np.trace(matrix) / len(matrix)
    return np.asarray((1 - share) * matrix + share * level * np.eye(len(matrix)))
