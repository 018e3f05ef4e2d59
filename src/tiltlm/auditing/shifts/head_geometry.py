"""What the output head of the reference fixes: its rows, and how often each token comes up.

A change of the body changes the hidden state by a move Δh, and so log-ratios by W·Δh, where W holds
the rows of the head. Here log-ratios are turned into moves and back. Knows no classes and no
benign changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.head_rows import HeadRows

MIN_CLASS_MASS = 1e-5
"""Probability under the reference below which a class is not tested. The text that a model was
trained on says nothing about the logits of tokens that do not come up, so any new text moves them,
and by much."""

_POWERS = 4
"""Powers of the logarithm of a token's probability that a trained head explains, 0 included."""


@dataclass(frozen=True)
class HeadGeometry:
    """The head of the reference, and the mean probability of each token.

    Attributes:
        rows: (V, D) rows of the head as they act on logits.
        mass: (V,) mean probability of each token under the reference.
    """

    rows: HeadRows
    mass: Array

    @cached_property
    def _inverse_gram(self) -> Array:
        """(D, D) pseudo-inverse of the centred rows' products, which turns projections into moves.

        With it the least-squares map from (V,) log-ratios to moves need not be made.
        """
        among_rows = self.residual_columns.gram[_POWERS:, _POWERS:]
        mixing = self.rows.centred().orthonormal_mixing(among_rows)
        return np.asarray(mixing @ mixing.T)

    @cached_property
    def residual_columns(self) -> HeadRows:
        """(V, 4 + D) what a moved body and a trained head explain: see `ResidualFilter`.

        The rows are centred, which changes nothing about what all columns explain together, since
        one of them is constant. So their products with each other serve `_inverse_gram` as well.
        """
        centre = np.concatenate([np.zeros(_POWERS), self.rows.mean])
        return replace(self.rows, before=_powers(self.mass), centre=centre)

    @cached_property
    def residual_mixing(self) -> Array:
        """(4 + D, R) turns `residual_columns` into an orthonormal basis."""
        return self.residual_columns.orthonormal_mixing()

    def solve_moves(self, log_ratios: Array) -> Array:
        """The moves that explain log-ratios best, by least squares over tokens.

        Args:
            log_ratios: (…, V) nats; a number that all tokens share does not matter.

        Returns:
            (…, D) moves Δh.
        """
        width = self.rows.width
        flat = log_ratios.reshape(-1, log_ratios.shape[-1])
        if not len(flat):
            return np.empty((*log_ratios.shape[:-1], width))
        centred = flat - flat.mean(-1, keepdims=True)
        projections = self.rows.centred().products_with(centred)
        return np.asarray(projections @ self._inverse_gram).reshape(*log_ratios.shape[:-1], width)

    def log_ratios_of(self, move: Array) -> Array:
        """The log-ratios that a move makes, W·Δh.

        Args:
            move: (D,).

        Returns:
            (V,) nats, centred on 0.
        """
        log_ratios = self.rows.along(move[None])[0]
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


def _powers(mass: Array) -> Array:
    """(V, `_POWERS`) powers of the standardised logarithm of tokens' probabilities (V,)."""
    level = np.log(mass + 1e-3 / len(mass))
    level = (level - level.mean()) / max(float(level.std()), 1e-12)
    return np.stack([level**power for power in range(_POWERS)], 1)
