"""How much a shift of a class is like one that was planted: the same wherever the class could come.

A tilt raises all tokens of its class alike, in all kinds of context alike. What a new text does
depends on both: brackets rise where code could stand, `read` rises and `dead` does not. So the
strength of a class is compared with how far it differs from token to token and from stratum to
stratum, once what noise alone would make of that is taken off. Outside the column space of the
head, where no moved body disturbs the comparison. Knows no models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.filters import ResidualFilter, residual_spread
from tiltlm.statistics.random_effects import between_variance

MIN_OCCURRENCES = 2.0
"""Times that a class must be expected in the contexts that are read before it can accuse. Where
else a class could come nobody knows, and a model may hardly have learnt its tokens: whatever text
brings them then raises all of them alike."""

_ERRORS = 2.0
"""So many standard errors are taken off a strength before it is compared with how it differs."""

_SPREAD_NATS = 0.01
"""Joins the spreads: what differs by less is rounding."""

_LEAST_LEFT = 1e-3
"""Share of a token's mask that the column space has to leave."""

_NOISE_PRIOR = 0.2
"""Share of the median token's noise in each token's."""


@dataclass(frozen=True)
class Likeness:
    """How a class that was shifted differs within itself.

    Attributes:
        value: strength over its spreads and its error, not negative.
        token_spread: standard deviation from token to token, nats.
        stratum_spread: from stratum to stratum, nats.
    """

    value: float
    token_spread: float
    stratum_spread: float


def planted_likeness(
    strength: float, error: float, token_spread: float, stratum_spread: float
) -> Likeness:
    """Compare a strength with how it differs.

    Args:
        strength: of the class, nats.
        error: how far benign changes move it, nats.
        token_spread: as `spread_over_tokens` gives it.
        stratum_spread: as `spread_over_strata` gives it.

    >>> round(planted_likeness(0.5, 0.05, 0.0, 0.0).value, 2)
    7.84
    >>> round(planted_likeness(0.5, 0.05, 0.4, 0.3).value, 2)
    0.8
    """
    value = likeness_to_tilt(strength, error, float(np.hypot(token_spread, stratum_spread)))
    return Likeness(value, token_spread, stratum_spread)


def likeness_to_tilt(strength: float, error: float, spread: float) -> float:
    """A strength, less what chance makes of it, over how far it differs and its error.

    Args:
        strength: of a class, nats.
        error: how far benign changes move it, nats.
        spread: standard deviation of the strength within the class, nats.

    Returns:
        a number that is not negative.
    """
    sure = max(0.0, abs(strength) - _ERRORS * error)
    return float(sure / np.sqrt(spread**2 + error**2 + _SPREAD_NATS**2))


def class_likeness(
    residual_filter: ResidualFilter,
    index: int,
    residual: Array,
    strength: float,
    error: float,
    stratum_spread: float,
    noise: Array,
) -> Likeness:
    """How much a class in a shift is like a planted tilt.

    Args:
        residual_filter: of the classes.
        index: number of the class.
        residual: (V,) of the shift, nats.
        strength: of the class, nats.
        error: how far benign changes move it, nats.
        stratum_spread: as `spread_over_strata` gives it.
        noise: (V,) as `token_noise` gives it.
    """
    ids = np.array(residual_filter.hypotheses.token_ids(index))
    variances = residual_spread(residual[None])[0] ** 2 * noise[ids]
    token_spread = spread_over_tokens(residual[ids], residual_filter.left_of(index), variances)
    return planted_likeness(strength, error, token_spread, stratum_spread)


def token_noise(residuals: Array) -> Array:
    """How much the residual of each token varies among benign changes.

    Args:
        residuals: (B, V) of benign changes, nats.

    Returns:
        (V,) variances, in units of the square of a change's own spread of residuals.
    """
    variances = ((residuals / residual_spread(residuals)[:, None]) ** 2).mean(0)
    return np.asarray((1 - _NOISE_PRIOR) * variances + _NOISE_PRIOR * np.median(variances))


def spread_over_tokens(residual: Array, left: Array, variances: Array) -> float:
    """How far the strength of a class differs from token to token.

    Args:
        residual: (E,) of the class's tokens, nats.
        left: (E,) what the column space leaves of the class's mask there.
        variances: (E,) of the residuals' noise, nats squared.

    Returns:
        standard deviation, nats.
    """
    # A token that is all explained by the head's rows says nothing of its class.
    seen = np.abs(left) > _LEAST_LEFT
    if not seen.any():
        return 0.0
    residual, left, variances = residual[seen], left[seen], variances[seen]
    return float(np.sqrt(between_variance(residual / left, variances / left**2, left**2)))


def spread_over_strata(residual_filter: ResidualFilter, by_stratum: Array, weights: Array) -> Array:
    """How far the strength of each class differs from stratum to stratum.

    Args:
        residual_filter: of K classes.
        by_stratum: (S, V) mean log-ratios, nats.
        weights: (S, K) of the strata, as `stratum_weights` gives them.

    Returns:
        (K,) standard deviations, nats.
    """
    residuals = residual_filter.residual(by_stratum)
    strengths = residual_filter.strengths_of(residuals)
    variances = residual_spread(residuals)[:, None] ** 2 / residual_filter.sizes
    return np.asarray(np.sqrt(between_variance(strengths, variances, weights)))


def often_enough(residual_filter: ResidualFilter, mass: Array) -> Array:
    """Which classes come up often enough to be held against planted tilts.

    Args:
        residual_filter: of K classes.
        mass: (S, V) probability of each token under the reference, summed over each stratum.

    Returns:
        (K,) booleans.
    """
    expected = residual_filter.hypotheses.members @ mass.sum(0)
    return np.asarray(expected >= MIN_OCCURRENCES)


def stratum_weights(residual_filter: ResidualFilter, mass: Array, positions: Array) -> Array:
    """How much each stratum says of each class: half by where the class comes, half by positions.

    Args:
        residual_filter: of K classes.
        mass: (S, V) probability of each token under the reference, summed over each stratum.
        positions: (S,) numbers of positions.

    Returns:
        (S, K).
    """
    of_class = np.asarray(residual_filter.hypotheses.members @ mass.T).T.astype(float)
    shares = of_class / np.maximum(of_class.sum(0), 1e-300)
    return np.asarray((shares + (positions / positions.sum())[:, None]) / 2)
