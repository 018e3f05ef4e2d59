"""What the output head of the reference fixes: its rows, and how often each token comes up.

A change of the body changes the hidden state by a move Δh, and so log-ratios by W·Δh, where W holds
the rows of the head. Here log-ratios are turned into moves and back. Knows no classes and no
benign changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.errors import ModelError
from tiltlm.models.head import Head

MIN_CLASS_MASS = 1e-5
"""Probability under the reference below which a class is not tested. The text that a model was
trained on says nothing about the logits of tokens that do not come up, so any new text moves them,
and by much."""


_EIGENVALUE_TOLERANCE = 1e-12
"""Directions with less than this share of the largest eigenvalue are left out of a basis."""


@dataclass(frozen=True)
class HeadGeometry:
    """The head of the reference, and the mean probability of each token.

    Attributes:
        rows: (V, D) rows of the head as they act on logits, float64.
        mass: (V,) mean probability of each token under the reference.
    """

    rows: Array
    mass: Array

    @cached_property
    def _least_squares_map(self) -> Array:
        """(D, V) map from centred log-ratios to the move that explains most of them."""
        basis, mixing = orthonormal_basis(self.rows - self.rows.mean(0))
        return np.asarray(mixing @ basis.T)

    def solve_moves(self, log_ratios: Array) -> Array:
        """The moves that explain log-ratios best, by least squares over tokens.

        Args:
            log_ratios: (…, V) nats; a number that all tokens share does not matter.

        Returns:
            (…, D) moves Δh.
        """
        centred = log_ratios - log_ratios.mean(-1, keepdims=True)
        return np.asarray(centred @ self._least_squares_map.T)

    def log_ratios_of(self, move: Array) -> Array:
        """The log-ratios that a move makes, W·Δh.

        Args:
            move: (D,).

        Returns:
            (V,) nats, centred on 0.
        """
        log_ratios = self.rows @ move
        return np.asarray(log_ratios - log_ratios.mean())

    def frequent(self, hypotheses: TokenClasses) -> Array:
        """Which classes come up often enough to be tested.

        Args:
            hypotheses: K classes.

        Returns:
            (K,) boolean: whether the mass of a class is at least `MIN_CLASS_MASS`.
        """
        class_mass = np.asarray(hypotheses.members @ self.mass)
        return np.asarray(class_mass >= MIN_CLASS_MASS * self.mass.sum())


def head_rows(head: Head | None) -> Array:
    """The rows of a head as they act on logits.

    Args:
        head: of the reference; None where its logits are not a product with one.

    Returns:
        (V, D) float64.

    Raises:
        ModelError: there is no head.
    """
    if head is None:
        raise ModelError(
            "the reference's logits are no product of a linear head, and without one there is no "
            "telling what a moved body explains",
            fix="audit a model whose head transformers knows as its output embeddings",
        )
    return np.asarray(head.weight.detach().cpu().double().numpy() * head.scale)


def orthonormal_basis(columns: Array) -> tuple[Array, Array]:
    """An orthonormal basis of a column space.

    By the eigenvectors of the Gram matrix, twice, which is as exact as a QR decomposition and
    several times as fast.

    Args:
        columns: (V, C).

    Returns:
        the basis (V, R) of rank R, and the mixing (C, R) with ``columns @ mixing`` = the basis.

    >>> basis, mixing = orthonormal_basis(np.array([[3.0, 6.0], [4.0, 8.0]]))
    >>> basis.shape, mixing.shape, [round(abs(float(x)), 6) for x in basis[:, 0]]
    ((2, 1), (2, 1), [0.6, 0.8])
    """
    lengths = np.linalg.norm(columns, axis=0)
    mixing = np.diag(1 / np.where(lengths > 0, lengths, np.inf))
    for _ in range(2):
        basis = columns @ mixing
        values, vectors = np.linalg.eigh(basis.T @ basis)
        large = values > _EIGENVALUE_TOLERANCE * values.max()
        mixing = mixing @ (vectors[:, large] / np.sqrt(values[large]))
    return np.asarray(columns @ mixing), np.asarray(mixing)
