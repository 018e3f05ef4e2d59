"""Two matched filters: for what moved outside the head's column space, and inside it.

An ordinary fine-tune moves the body, so its shift is W·Δh: 99 % of it lies in the column space of
the head. A tilt by the head is mostly outside, where hardly anything benign is; a tilt by the body
is inside, where it is told apart by its direction, with benign fine-tunes as the noise. What a
class is expected to look like there is not its mask but what training the body makes of it
(`strata.templates`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.covariance import MoveCovariance
from tiltlm.errors import ModelError
from tiltlm.models.head import Head

_SMALLEST = 1e-3
"""Nats: spreads below it count as this, since rounding has patterns of its own."""


_PRIOR, _INSIDE_PRIOR = 0.5, 0.2
"""Each hypothesis's spread under the null is joined by so many times the median hypothesis's."""


RAREST = 1e-5
"""Probability under the reference below which a class is not looked at: the text that a model was
trained on says nothing about its logits there, so any new text moves them, and by much."""


@dataclass(frozen=True)
class HeadGeometry:
    """What the filters know of the reference.

    Attributes:
        rows: (V, D) of the reference's head, as they act on logits, float64.
        mass: (V,) mean probability of each token under the reference.
    """

    rows: Array
    mass: Array

    @cached_property
    def _solve(self) -> Array:
        """(D, V) from log-ratios to the Δh that explains most of them."""
        basis, mixing = _orthonormal(self.rows - self.rows.mean(0))
        return np.asarray(mixing @ basis.T)

    def moves(self, shifts: Array) -> Array:
        """(…, D) the Δh that explains (…, V) log-ratios, by least squares over tokens."""
        return np.asarray((shifts - shifts.mean(-1, keepdims=True)) @ self._solve.T)

    def shift_of(self, move: Array) -> Array:
        """(V,) log-ratios of a Δh, centred."""
        shift = self.rows @ move
        return np.asarray(shift - shift.mean())

    def common(self, hypotheses: TokenClasses) -> Array:
        """(K,) whether each class comes up at all."""
        found = np.asarray(hypotheses.members @ self.mass) >= RAREST * self.mass.sum()
        return np.asarray(found)


class ResidualFilter:
    """The least-squares coefficient of a class in the shift, given all that a body can move.

    Besides the head's rows, the logarithm of a token's probability and its powers are given:
    training a head moves frequent tokens otherwise than rare ones, whatever the text.
    """

    def __init__(self, space: HeadGeometry, hypotheses: TokenClasses) -> None:
        self.hypotheses = hypotheses
        level = np.log(space.mass + 1e-3 / len(space.mass))
        level = (level - level.mean()) / max(float(level.std()), 1e-12)
        powers = np.stack([np.ones_like(level), level, level**2, level**3], 1)
        self._basis, _ = _orthonormal(np.hstack([powers, space.rows]))
        self._members = hypotheses.members
        inside = self._members @ self._basis
        sizes = hypotheses.sizes.astype(float)
        self._denominator: Array = sizes - (inside**2).sum(1)
        # A class that the body can move by itself cannot be told from its moving.
        apart = self._denominator > 0.02 * sizes
        self.visible: Array = apart & space.common(hypotheses)
        self._denominator = np.where(apart, self._denominator, np.inf)
        self._floor = 1 / np.sqrt(np.maximum(sizes, 1))

    def residual(self, shifts: Array) -> Array:
        """(N, V) what no move of the body explains."""
        return np.asarray(shifts - (shifts @ self._basis) @ self._basis.T)

    def strengths(self, shifts: Array) -> Array:
        """(N, K) nats."""
        return self._of(self.residual(shifts))

    def joint(self, shift: Array, found: list[int]) -> Array:
        """(F,) strengths of several classes, each given the others."""
        masks = np.asarray(self._members[found].todense(), dtype=float)
        clear = self.residual(masks)
        solved: Array = np.linalg.lstsq(clear @ clear.T, clear @ shift, rcond=None)[0]
        return solved

    def mask(self, index: int) -> Array:
        """(V,) of a class."""
        return np.asarray(self._members[index].toarray()[0], dtype=float)

    def fit(self, null: Array) -> Array:
        """Learn how each class's coefficient varies among benign fine-tunes.

        Args:
            null: (B, V) shifts.

        Returns:
            (B, K) scores of the null itself, each by the spread of all others.
        """
        ratios = self._ratios(null)
        squares, count = ratios**2, len(ratios)
        self._spread = self._joined(np.sqrt(squares.mean(0)))
        total = squares.sum(0)
        rest = np.sqrt((total - squares) / max(count - 1, 1))
        return np.asarray(ratios / np.sqrt(rest**2 + self._extra**2))

    def scores(self, shifts: Array) -> Array:
        """(N, K)."""
        return np.asarray(self._ratios(shifts) / self._spread)

    def error(self, shift: Array, index: int) -> float:
        """Standard error of a strength: how far benign fine-tunes of this size move it."""
        return float(self._spread[index] * _robust_spread(self.residual(shift[None]))[0])

    def _joined(self, spread: Array) -> Array:
        self._extra = np.sqrt((_PRIOR * np.median(spread)) ** 2 + self._floor**2)
        return np.asarray(np.sqrt(spread**2 + self._extra**2))

    def _ratios(self, shifts: Array) -> Array:
        clear = self.residual(shifts)
        return np.asarray(self._of(clear) / _robust_spread(clear)[:, None])

    def _of(self, clear: Array) -> Array:
        return np.asarray((self._members @ clear.T).T / self._denominator)


class ColumnSpaceFilter:
    """The direction in which training the body for a class moves hidden states, in Δh.

    Args:
        space: of the reference.
        hypotheses: K classes.
        templates: (K, S, D) what a tilt of 1 makes of hidden states in each stratum.
    """

    _FOLDS = 5

    def __init__(self, space: HeadGeometry, hypotheses: TokenClasses, templates: Array) -> None:
        self.hypotheses, self.templates = hypotheses, templates
        self._flat = templates.reshape(len(templates), -1)
        self._space = space
        self.visible = space.common(hypotheses)

    def strengths(self, moves: Array) -> Array:
        """(N, K) nats: how much of each class's template is in (N, S, D) moves."""
        return np.asarray(self._answers(moves) / self._norms**2)

    def by_context(self, shifts: Array, index: int) -> Array:
        """(C,) nats: how much of a class is in the mean move of each context, of (C, V)."""
        template = self.templates[index].mean(0)
        filtered = template @ self._noise.within
        moved = self._space.moves(shifts)
        return np.asarray(moved @ filtered / (filtered @ template))

    def fit(self, null: Array) -> Array:
        """As `ResidualFilter.fit`, of (B, S, D) moves; each fifth is scored by the others."""
        fold = np.random.default_rng(0).permutation(len(null)) % min(self._FOLDS, len(null))
        raw = np.zeros((len(null), len(self.templates)))
        for number in range(int(fold.max()) + 1):
            self._learn(null[fold != number])
            raw[fold == number] = self._raw(null[fold == number])
        self._learn(null)
        spread = np.sqrt((raw**2).mean(0))
        self._spread = np.sqrt(spread**2 + (_INSIDE_PRIOR * np.median(spread)) ** 2)
        return np.asarray(raw / self._spread)

    def scores(self, moves: Array) -> Array:
        """(N, K)."""
        return np.asarray(self._raw(moves) / self._spread)

    def error(self, moves: Array, index: int) -> float:
        """Standard error of a strength."""
        length = self._noise.lengths(moves[None])[0]
        return float(self._spread[index] * length / self._norms[index])

    def _learn(self, null: Array) -> None:
        self._noise = MoveCovariance.of(null)
        self._norms: Array = self._noise.norms(self._flat)

    def _answers(self, moves: Array) -> Array:
        whitened = self._noise.whitened(moves).astype(self._flat.dtype)
        return np.asarray((self._flat @ whitened.T).T, dtype=float)

    def _raw(self, moves: Array) -> Array:
        return np.asarray(self._answers(moves) / self._norms / self._noise.lengths(moves)[:, None])


def head_rows(head: Head | None) -> Array:
    """(V, D) of a head, as they act on logits, float64.

    Raises:
        ModelError: there is none.
    """
    if head is None:
        raise ModelError(
            "the reference's logits are no product of a linear head, and without one there is no "
            "telling what a moved body explains",
            fix="audit a model whose head transformers knows as its output embeddings",
        )
    return np.asarray(head.weight.detach().cpu().double().numpy() * head.scale)


def standardised(scores: Array) -> Array:
    """Scores by their own spread over hypotheses, where that is more than 1.

    A change of a kind that the null does not have moves all classes a little; a tilt moves its
    own, those that overlap with it, and no others (Efron 2004, empirical null).
    """
    own = np.median(np.abs(scores), axis=1, keepdims=True) / 0.6745
    return np.asarray(scores / np.maximum(1, own))


def _orthonormal(columns: Array) -> tuple[Array, Array]:
    """An orthonormal basis (V, R) of the span of (V, C) columns, and mixing (C, R) to it.

    By the Gram matrix, twice, which is as exact as a QR decomposition and several times as fast.
    """
    sizes = np.linalg.norm(columns, axis=0)
    mixing = np.diag(1 / np.where(sizes > 0, sizes, np.inf))
    for _ in range(2):
        basis = columns @ mixing
        values, vectors = np.linalg.eigh(basis.T @ basis)
        kept = values > 1e-12 * values.max()
        mixing = mixing @ (vectors[:, kept] / np.sqrt(values[kept]))
    return np.asarray(columns @ mixing), np.asarray(mixing)


def _robust_spread(residuals: Array) -> Array:
    """(N,) of rows, as of a normal distribution, by the median absolute deviation."""
    middle = np.median(residuals, axis=1, keepdims=True)
    return np.asarray(np.median(np.abs(residuals - middle), axis=1) / 0.6745 + _SMALLEST)
