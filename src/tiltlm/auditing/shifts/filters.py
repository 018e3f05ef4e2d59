"""Two filters that score every class: in the residual of a shift, and in the head's column space.

An ordinary fine-tune moves the body, so its shift is W·Δh: 99 % of it lies in the column space of
the head. A tilt by the head is mostly in the residual outside that space, where hardly anything
benign is. A tilt by the body lies in the column space, where it is told apart by its direction,
with benign fine-tunes as the noise. What a class looks like there is not its mask but the template
of what training the body makes of it (`strata.build_templates`).
"""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.covariance import MoveCovariance
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.statistics.robust import robust_spread

_MIN_SPREAD_NATS = 1e-3
"""Added to the spread of residuals. Residuals below it are rounding, which has patterns of its own
that must not be taken for a shift."""


_RESIDUAL_PRIOR, _COLUMN_SPACE_PRIOR = 0.5, 0.2
"""In each filter, the spread of every class's score among benign changes is joined, as a root of
squares, by this many times the spread of the median class."""


_MIN_RESIDUAL_SHARE = 0.02
"""A class of whose mask the column space leaves a smaller share is not tested: the body could move
it by itself."""


_CLASSES = 1024
"""Classes whose masks are projected at once."""


class ResidualFilter:
    """Scores classes by what a shift holds outside the column space of the head.

    A moved body changes log-ratios by W·Δh, which a projection off the head's rows takes out; what
    is left is the residual r. The strength of a class with the 0/1 mask m is its least-squares
    coefficient given the head's rows, β̂ = mᵀr / m̃ᵀm̃ in nats, with m̃ the residual of the mask. The
    first powers of the logarithm of a token's probability are projected off too: training a head
    moves frequent tokens otherwise than rare ones, whatever the text. A score is a strength divided
    by the spread of the shift's own residuals and by the class's spread among benign changes.

    Attributes:
        hypotheses: K classes.
        testable: (K,) boolean: classes frequent enough, and with enough outside the column space.
    """

    def __init__(self, geometry: HeadGeometry, hypotheses: TokenClasses) -> None:
        """Project every class.

        Args:
            geometry: of the reference.
            hypotheses: K classes.
        """
        self.hypotheses = hypotheses
        self._columns, self._mixing = geometry.residual_columns, geometry.residual_mixing
        self._members = hypotheses.members
        products = self._columns.products_with(self._members)
        explained = [
            ((part @ self._mixing) ** 2).sum(1)
            for part in np.split(products, range(_CLASSES, len(products), _CLASSES))
        ]
        sizes = hypotheses.sizes.astype(float)
        self._residual_sizes: Array = sizes - np.concatenate(explained)
        identifiable = self._residual_sizes > _MIN_RESIDUAL_SHARE * sizes
        self.testable: Array = identifiable & geometry.frequent(hypotheses)
        self._residual_sizes = np.where(identifiable, self._residual_sizes, np.inf)
        # What the ratios would vary by if residuals were independent from token to token.
        self._floor = 1 / np.sqrt(np.maximum(sizes, 1))

    def residual(self, shifts: Array) -> Array:
        """What no move of the body explains.

        Args:
            shifts: (N, V) log-ratios, nats.

        Returns:
            (N, V) nats.
        """
        coefficients = self._columns.products_with(shifts) @ self._mixing
        return np.asarray(shifts - self._columns.along(coefficients @ self._mixing.T))

    def strengths(self, shifts: Array) -> Array:
        """The strength of each class by itself, β̂.

        Args:
            shifts: (N, V) log-ratios, nats.

        Returns:
            (N, K) nats; 0 for a class that cannot be told from a moved body.
        """
        return self._coefficients(self.residual(shifts))

    def joint_strengths(self, shift: Array, indices: list[int]) -> Array:
        """The strengths of several classes, each given the others.

        Args:
            shift: (V,) log-ratios, nats.
            indices: numbers of F classes.

        Returns:
            (F,) nats.
        """
        masks = np.asarray(self._members[indices].todense(), dtype=float)
        residuals = self.residual(masks)
        solution: Array = np.linalg.lstsq(residuals @ residuals.T, residuals @ shift, rcond=None)[0]
        return solution

    def class_mask(self, index: int) -> Array:
        """(V,) mask of one class, 1 at its tokens.

        Args:
            index: number of the class.
        """
        return np.asarray(self._members[index].toarray()[0], dtype=float)

    def fit(self, null: Array) -> Array:
        """Learn how much each class's score varies among benign changes.

        Args:
            null: (B, V) shifts of benign changes, nats.

        Returns:
            (B, K) scores of the benign changes themselves, each by the spread of all others.
        """
        ratios = self._ratios(null)
        squares, count = ratios**2, len(ratios)
        spread = np.sqrt(squares.mean(0))
        prior = np.sqrt((_RESIDUAL_PRIOR * np.median(spread)) ** 2 + self._floor**2)
        self._spread = np.asarray(np.sqrt(spread**2 + prior**2))
        spread_of_others = np.sqrt((squares.sum(0) - squares) / max(count - 1, 1))
        return np.asarray(ratios / np.sqrt(spread_of_others**2 + prior**2))

    def scores(self, shifts: Array) -> Array:
        """Strengths in units of the noise; the filter must have been fitted.

        Args:
            shifts: (N, V) log-ratios, nats.

        Returns:
            (N, K).
        """
        return np.asarray(self._ratios(shifts) / self._spread)

    def standard_error(self, shift: Array, index: int) -> float:
        """How far benign changes with residuals of this size move a strength, nats.

        Args:
            shift: (V,) log-ratios, nats.
            index: number of the class.
        """
        return float(self._spread[index] * _residual_spread(self.residual(shift[None]))[0])

    def _ratios(self, shifts: Array) -> Array:
        """(N, K) strengths divided by the spread of the residuals of each shift."""
        residuals = self.residual(shifts)
        return np.asarray(self._coefficients(residuals) / _residual_spread(residuals)[:, None])

    def _coefficients(self, residuals: Array) -> Array:
        """(N, K) least-squares coefficients from (N, V) residuals."""
        return np.asarray((self._members @ residuals.T).T / self._residual_sizes)


class ColumnSpaceFilter:
    """Scores classes by the direction in which a body moved the hidden states of each stratum.

    A matched filter: with t the template of a class, which is the move that a tilt of 1 makes in
    each stratum, and Σ the covariance of benign moves, the strength of the class in a move m is
    the generalised least-squares coefficient β̂ = tᵀΣ⁻¹m / tᵀΣ⁻¹t, in nats. A score is
    tᵀΣ⁻¹m / √(tᵀΣ⁻¹t), divided by the size of the move and by the class's spread of the same among
    benign changes.

    Attributes:
        hypotheses: K classes.
        templates: (K, S, D).
        testable: (K,) boolean: classes frequent enough.
    """

    _FOLDS = 5

    def __init__(self, geometry: HeadGeometry, hypotheses: TokenClasses, templates: Array) -> None:
        """Take the templates.

        Args:
            geometry: of the reference.
            hypotheses: K classes.
            templates: (K, S, D) what a tilt of 1 makes of the hidden states of each stratum.
        """
        self.hypotheses, self.templates = hypotheses, templates
        self._flat_templates = templates.reshape(len(templates), -1)
        self._geometry = geometry
        self.testable = geometry.frequent(hypotheses)

    def strengths(self, moves: Array) -> Array:
        """How much of each class's template is in a move, β̂.

        Args:
            moves: (N, S, D).

        Returns:
            (N, K) nats.
        """
        return np.asarray(self._products(moves) / self._norms**2)

    def strengths_by_context(self, shifts: Array, index: int) -> Array:
        """How much of one class is in the mean move of each context.

        Args:
            shifts: (C, V) log-ratios, nats.
            index: number of the class.

        Returns:
            (C,) nats.
        """
        template = self.templates[index].mean(0)
        matched = template @ self._covariance.dimension_precision
        moves = self._geometry.solve_moves(shifts)
        return np.asarray(moves @ matched / (matched @ template))

    def fit(self, null: Array) -> Array:
        """Learn the covariance of benign moves, and how much each class's score varies among them.

        Args:
            null: (B, S, D) benign moves.

        Returns:
            (B, K) scores of the benign changes themselves, each fifth of them with the covariance
            of the other four.
        """
        fold = np.random.default_rng(0).permutation(len(null)) % min(self._FOLDS, len(null))
        ratios = np.zeros((len(null), len(self.templates)))
        for number in range(int(fold.max()) + 1):
            self._estimate_covariance(null[fold != number])
            ratios[fold == number] = self._ratios(null[fold == number])
        self._estimate_covariance(null)
        spread = np.sqrt((ratios**2).mean(0))
        self._spread = np.sqrt(spread**2 + (_COLUMN_SPACE_PRIOR * np.median(spread)) ** 2)
        return np.asarray(ratios / self._spread)

    def scores(self, moves: Array) -> Array:
        """Strengths in units of the noise; the filter must have been fitted.

        Args:
            moves: (N, S, D).

        Returns:
            (N, K).
        """
        return np.asarray(self._ratios(moves) / self._spread)

    def standard_error(self, move: Array, index: int) -> float:
        """How far benign changes of this size move a strength, nats.

        Args:
            move: (S, D).
            index: number of the class.
        """
        size = self._covariance.mahalanobis_rms(move[None])[0]
        return float(self._spread[index] * size / self._norms[index])

    def _estimate_covariance(self, null: Array) -> None:
        """Estimate the covariance of benign moves, and the templates' norms by it."""
        self._covariance = MoveCovariance.of(null)
        self._norms: Array = self._covariance.mahalanobis_norms(self._flat_templates)

    def _products(self, moves: Array) -> Array:
        """(N, K) products tᵀΣ⁻¹m."""
        weighted = self._covariance.apply_precision(moves).astype(self._flat_templates.dtype)
        return np.asarray((self._flat_templates @ weighted.T).T, dtype=float)

    def _ratios(self, moves: Array) -> Array:
        """(N, K) products divided by the norms of templates and by the sizes of moves."""
        sizes = self._covariance.mahalanobis_rms(moves)
        return np.asarray(self._products(moves) / self._norms / sizes[:, None])


def standardised(scores: Array) -> Array:
    """Scores divided by their own spread over classes, where that is more than 1.

    A change of a kind that the null does not have moves all classes a little; a tilt moves its
    own, those that overlap with it, and no others.

    Args:
        scores: (N, K).

    Returns:
        (N, K).

    Source: Efron 2004, the empirical null.
    """
    own_spread = robust_spread(scores, axis=1, centred=True)[:, None]
    return np.asarray(scores / np.maximum(1, own_spread))


def _residual_spread(residuals: Array) -> Array:
    """(N,) robust spread of (N, V) residuals, nats, never 0."""
    return np.asarray(robust_spread(residuals, axis=1) + _MIN_SPREAD_NATS)
