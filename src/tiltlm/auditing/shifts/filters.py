"""Two filters that score every class: in the residual of a shift, and in the head's column space.

An ordinary fine-tune moves the body, so its shift is W·Δh: 99 % of it lies in the column space of
the head. A tilt by the head is mostly in the residual outside that space, where hardly anything
benign is. A tilt by the body lies in the column space, where it is told apart by its direction,
with benign fine-tunes as the noise. What a class looks like there is not its mask but the template
of what training the body makes of it (`templates`). What is benign is learnt elsewhere.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.covariance import MoveCovariance
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.templates import Templates
from tiltlm.statistics.robust import robust_spread

_MIN_SPREAD_NATS = 1e-3
"""Added to the spread of residuals. Residuals below it are rounding, which has patterns of its own
that must not be taken for a shift."""

_MIN_RESIDUAL_SHARE = 0.02
"""A class of whose mask the column space leaves a smaller share is not tested: the body could move
it by itself."""

_LEAST_EXPLAINED = 1e-3
"""Share of a shift that is taken to be explained by a moved body at least, for intervals."""

_CLASSES = 1024
"""Classes whose masks are projected at once."""


class ResidualFilter:
    """Scores classes by what a shift holds outside the column space of the head.

    A moved body changes log-ratios by W·Δh, which a projection off the head's rows takes out; what
    is left is the residual r. The strength of a class with the 0/1 mask m is its least-squares
    coefficient given the head's rows, β̂ = mᵀr / m̃ᵀm̃ in nats, with m̃ the residual of the mask. The
    first powers of the logarithm of a token's probability are projected off too: training a head
    moves frequent tokens otherwise than rare ones, whatever the text. A ratio is a strength divided
    by the spread of the shift's own residuals.

    Attributes:
        hypotheses: K classes.
        sizes: (K,) m̃ᵀm̃, infinite where the column space leaves too little of a class.
        frequent: (K,) boolean: classes frequent enough.
        testable: (K,) boolean: those with enough outside the column space as well.
        floor: (K,) what ratios would vary by, were residuals independent from token to token.
    """

    PRIOR: ClassVar[float] = 0.5
    """As `ColumnSpaceFilter.PRIOR`."""

    def __init__(
        self, geometry: HeadGeometry, hypotheses: TokenClasses, sizes: Array | None = None
    ) -> None:
        """Project every class.

        Args:
            geometry: of the reference.
            hypotheses: K classes.
            sizes: as the attribute, where it is known already.
        """
        self.hypotheses, self._geometry = hypotheses, geometry
        self._columns, self._mixing = geometry.residual_columns, geometry.residual_mixing
        self._members = hypotheses.members
        self.sizes: Array = self._left_of_masks() if sizes is None else sizes
        self.frequent: Array = geometry.frequent(hypotheses)
        self.testable: Array = np.isfinite(self.sizes) & self.frequent
        self.floor: Array = 1 / np.sqrt(np.maximum(hypotheses.sizes, 1))

    def _left_of_masks(self) -> Array:
        """(K,) squared length of what the column space leaves of each mask."""
        products = self._columns.products_with(self._members)
        explained = [
            ((part @ self._mixing) ** 2).sum(1)
            for part in np.split(products, range(_CLASSES, len(products), _CLASSES))
        ]
        sizes = self.hypotheses.sizes.astype(float)
        left = sizes - np.concatenate(explained)
        return np.where(left > _MIN_RESIDUAL_SHARE * sizes, left, np.inf)

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
        return self.strengths_of(self.residual(shifts))

    def strengths_of(self, residuals: Array) -> Array:
        """The same from residuals.

        Args:
            residuals: (N, V) as `residual` gives them, nats.

        Returns:
            (N, K) nats.
        """
        return np.asarray((self._members @ residuals.T).T / self.sizes)

    def joint_strengths(self, shift: Array, indices: list[int]) -> Array:
        """The strengths of several classes, each given the others.

        Args:
            shift: (V,) log-ratios, nats; or (V, N) of several shifts.
            indices: numbers of F classes.

        Returns:
            (F,) or (F, N) nats.
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

    def first(self, count: int) -> ResidualFilter:
        """The same filter of the first classes alone.

        Args:
            count: of classes.
        """
        if count == len(self.hypotheses):
            return self
        return ResidualFilter(self._geometry, self.hypotheses.first(count), self.sizes[:count])

    def left_of(self, index: int) -> Array:
        """What the column space leaves of a class's mask at the class's own tokens.

        Args:
            index: number of the class.

        Returns:
            (E,) in the order of its token ids.
        """
        rows = self._columns.at(np.array(self.hypotheses.token_ids(index))) @ self._mixing
        return np.asarray(1 - rows @ rows.sum(0))

    def ratios(self, shifts: Array) -> Array:
        """Strengths divided by the spread of the residuals of each shift.

        Args:
            shifts: (N, V) log-ratios, nats.

        Returns:
            (N, K).
        """
        residuals = self.residual(shifts)
        return np.asarray(self.strengths_of(residuals) / residual_spread(residuals)[:, None])


class ColumnSpaceFilter:
    """Scores classes by the direction in which a body moved the hidden states of each stratum.

    A matched filter: with t the template of a class, which is the move that a tilt of 1 makes in
    each stratum, and Σ the covariance of benign moves, the strength of the class in a move m is
    the generalised least-squares coefficient β̂ = tᵀΣ⁻¹m / tᵀΣ⁻¹t, in nats. A ratio is
    tᵀΣ⁻¹m / √(tᵀΣ⁻¹t), divided by the size of the move and multiplied by how much of the shift a
    moved body explains (`explained_by_body`).

    Attributes:
        hypotheses: K classes.
        templates: of all classes.
        covariance: Σ.
        norms: (K,) √(tᵀΣ⁻¹t).
        testable: (K,) boolean: classes frequent enough.
    """

    PRIOR: ClassVar[float] = 0.2
    """The spread of every class's ratio among benign changes is joined, as a root of squares, by
    this many times the spread of the median class."""

    def __init__(
        self,
        geometry: HeadGeometry,
        hypotheses: TokenClasses,
        templates: Templates,
        covariance: MoveCovariance,
        norms: Array,
    ) -> None:
        self.hypotheses, self.templates = hypotheses, templates
        self.covariance, self.norms = covariance, norms
        self._geometry = geometry
        self.testable = geometry.frequent(hypotheses)

    def ratios_and_strengths(self, move: Array, explained: float) -> tuple[Array, Array]:
        """How much of each class's template is in a move.

        Args:
            move: (S, D).
            explained: how much of the shift a moved body explains, from 0 to 1.

        Returns:
            (K,) what a score is made of: products in units of the templates' norms and of the
            move's size; and (K,) strengths β̂, nats.
        """
        size = self.covariance.mahalanobis_rms(move[None])[0]
        products = self._products(move)
        return explained * products / self.norms / size, products / self.norms**2

    def strengths_by_context(self, shifts: Array, template: Array) -> Array:
        """How much of one class is in the mean move of each context.

        Args:
            shifts: (C, V) log-ratios, nats.
            template: (S, D) of the class.

        Returns:
            (C,) nats.
        """
        mean = template.mean(0)
        matched = mean @ self.covariance.dimension_precision
        moves = self._geometry.solve_moves(shifts)
        return np.asarray(moves @ matched / (matched @ mean))

    def template(self, index: int) -> Array:
        """(S, D) the template of one class.

        Args:
            index: number of the class.
        """
        return np.asarray(self.templates.for_classes(self.hypotheses.members[index])[0], float)

    def errors(self, move: Array, explained: float, spread: Array) -> Array:
        """How far benign changes of this size move each strength.

        Args:
            move: (S, D).
            explained: as for `ratios_and_strengths`.
            spread: (K,) of ratios among benign changes.

        Returns:
            (K,) nats.
        """
        size = self.covariance.mahalanobis_rms(move[None])[0] / max(explained, _LEAST_EXPLAINED)
        return np.asarray(spread * size / self.norms)

    def _products(self, move: Array) -> Array:
        """(K,) products tᵀΣ⁻¹m."""
        weighted = self.covariance.apply_precision(move[None]).reshape(move.shape)
        return np.asarray(self.hypotheses.members @ self.templates.along(weighted))


def standardised(scores: Array, own_spread: Array | None = None) -> Array:
    """Scores divided by their own spread over classes, where that is more than 1.

    A change of a kind that the null does not have moves all classes a little; a tilt moves its
    own, those that overlap with it, and no others.

    Args:
        scores: (N, K).
        own_spread: (N,) where it is known already; by default of these scores.

    Returns:
        (N, K).

    Source: Efron 2004, the empirical null.
    """
    if own_spread is None:
        own_spread = score_spread(scores)
    return np.asarray(scores / np.maximum(1, own_spread[:, None]))


def score_spread(scores: Array) -> Array:
    """(N,) robust spread of (N, K) scores over classes."""
    return robust_spread(scores, axis=1, centred=True)


def explained_by_body(shifts: Array, residuals: Array) -> Array:
    """How much of each shift a moved body can have made.

    Where the head itself was changed, what moves explain of that is no move of a body, and may
    look like anything.

    Args:
        shifts: (N, V) log-ratios, centred on 0, nats.
        residuals: (N, V) as `ResidualFilter.residual` gives them, nats.

    Returns:
        (N,) the correlation of each shift with what is explained of it, from 0 to 1.
    """
    total, left = (shifts**2).sum(1), (residuals**2).sum(1)
    return np.asarray(np.sqrt(np.clip(1 - left / np.maximum(total, 1e-300), 0, 1)))


def residual_spread(residuals: Array) -> Array:
    """(N,) root mean square of (N, V) residuals, nats, never 0.

    Not a spread that a few tokens leave alone: plain gradient descent moves few tokens and those
    far, and any class that has one of them would stand out.
    """
    return np.asarray(np.sqrt((residuals**2).mean(1)) + _MIN_SPREAD_NATS)
