"""Two matched filters: for what moved outside the head's column space, and inside it.

An ordinary fine-tune moves the body, so its shift is W·Δh: 99 % of it lies in the column space of
the head. A tilt by the head is mostly outside, where hardly anything benign is; a tilt by the body
is inside, where it is told apart by its direction, with benign fine-tunes as the noise. What a
class is expected to look like there is not its mask but what training the body makes of it: the
Δh that comes closest to the tilt in KL, which weighs tokens by their probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.errors import ModelError
from tiltlm.head import Head

Array = np.ndarray

_SMALLEST = 1e-3
"""Nats: spreads below it count as this, since rounding has patterns of its own."""

_PRIOR = 0.5
"""Each hypothesis's spread under the null is joined by so many times the median hypothesis's."""

_SHRINKAGE = 0.1
"""Of the covariance of benign Δh towards a multiple of the identity."""

RAREST = 1e-5
"""Probability under the reference below which a class is not looked at: the text that a model was
trained on says nothing about its logits there, so any new text moves them, and by much."""


@dataclass(frozen=True)
class Space:
    """What the filters know of the reference.

    Attributes:
        rows: (V, D) of the reference's head, as they act on logits, float64.
        mass: (V,) mean probability of each token under the reference.
    """

    rows: Array
    mass: Array

    def common(self, hypotheses: Hypotheses) -> Array:
        """(K,) whether each class comes up at all."""
        found = np.asarray(hypotheses.members @ self.mass) >= RAREST * self.mass.sum()
        return np.asarray(found)


class Outside:
    """The least-squares coefficient of a class in the shift, given all that a body can move.

    Besides the head's rows, the logarithm of a token's probability and its powers are given:
    training a head moves frequent tokens otherwise than rare ones, whatever the text.
    """

    def __init__(self, space: Space, hypotheses: Hypotheses) -> None:
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

    def without(self, shift: Array, index: int, strength: float) -> Array:
        """(V,) the shift with a class's part taken out."""
        return np.asarray(shift - strength * self._members[index].toarray()[0])

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


class Inside:
    """The direction in which training the body for a class moves hidden states, in Δh."""

    _FOLDS = 5

    def __init__(self, space: Space, hypotheses: Hypotheses) -> None:
        self.hypotheses = hypotheses
        rows, members = space.rows, hypotheses.members
        centred = rows - rows.mean(0)
        basis, mixing = _orthonormal(centred)
        self._solve: Array = mixing @ basis.T
        weights = space.mass + 0.1 * space.mass.mean()
        weights = weights / weights.sum()
        weighed = rows - weights @ rows
        gram = (weighed * weights[:, None]).T @ weighed
        gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
        self.moves: Array = np.linalg.solve(gram, (members.multiply(weights).tocsr() @ weighed).T).T
        """(K, D) the Δh that comes closest to a tilt of 1."""
        self._rows = rows
        self.visible = space.common(hypotheses)

    def strengths(self, shifts: Array) -> Array:
        """(N, K) nats: how much of each class's move is in the Δh, by the matched filter."""
        moved = self._moved(shifts)
        return np.asarray((self._filtered @ moved.T).T / self._norms**2)

    def without(self, shift: Array, index: int, strength: float) -> Array:
        """(V,) the shift with a class's part taken out."""
        part = self._rows @ self.moves[index]
        return np.asarray(shift - strength * (part - part.mean()))

    def fit(self, null: Array) -> Array:
        """As `Outside.fit`; each fifth of the null is scored by the others."""
        moved = self._moved(null)
        fold = np.random.default_rng(0).permutation(len(moved)) % min(self._FOLDS, len(moved))
        raw = np.zeros((len(moved), len(self.moves)))
        for number in range(int(fold.max()) + 1):
            self._learn(moved[fold != number])
            raw[fold == number] = self._raw(moved[fold == number])
        self._learn(moved)
        spread = np.sqrt((raw**2).mean(0))
        self._spread = np.sqrt(spread**2 + (_PRIOR * np.median(spread)) ** 2)
        return np.asarray(raw / self._spread)

    def scores(self, shifts: Array) -> Array:
        """(N, K)."""
        return np.asarray(self._raw(self._moved(shifts)) / self._spread)

    def error(self, shift: Array, index: int) -> float:
        """Standard error of a strength."""
        length = self._length(self._moved(shift[None]))[0]
        return float(self._spread[index] * length / self._norms[index])

    def _moved(self, shifts: Array) -> Array:
        """(N, D) the mean Δh that explains a shift."""
        return np.asarray((shifts - shifts.mean(1, keepdims=True)) @ self._solve.T)

    def _learn(self, moved: Array) -> None:
        scaled = moved / (np.sqrt((moved**2).mean(1, keepdims=True)) + 1e-9)
        covariance = scaled.T @ scaled / len(scaled)
        level = np.trace(covariance) / len(covariance)
        covariance *= 1 - _SHRINKAGE
        covariance += _SHRINKAGE * level * np.eye(len(covariance))
        self._inverse: Array = np.linalg.inv(covariance)
        self._filtered: Array = self.moves @ self._inverse
        self._norms: Array = np.sqrt((self._filtered * self.moves).sum(1)).clip(1e-300)

    def _raw(self, moved: Array) -> Array:
        found = (self._filtered @ moved.T).T / self._norms
        return np.asarray(found / self._length(moved)[:, None])

    def _length(self, moved: Array) -> Array:
        squares = ((moved @ self._inverse) * moved).mean(1)
        return np.asarray(np.sqrt(squares) + 1e-9)


def rows_of(head: Head | None) -> Array:
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
