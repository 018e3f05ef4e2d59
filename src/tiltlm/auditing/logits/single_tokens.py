"""Single tokens that moved more than in any benign change: for what no class describes.

Every fine-tune moves the words of its own corpus, and a corpus that the null does not have moves
others. So these tokens are reported with a p-value of their own, and accuse nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.statistics.robust import monte_carlo_p

SHOWN = 10
"""Tokens that are reported."""


_PRIOR = 0.25
"""The mean square of each token's shift in benign changes is joined by so many times the median
token's, so that a token which hardly ever moves does not stand out by a little."""


@dataclass(frozen=True)
class TokenShifts:
    """What stood out token by token.

    Attributes:
        p: of the token that stands out most, among the largest scores of benign changes; None
            without a null.
        ids: the tokens, the one that stands out most first.
        strengths: of each, nats.
    """

    p: float | None
    ids: list[int]
    strengths: list[float]


def largest_token_shifts(
    residuals: ResidualFilter, suspect: Array, null: Array | None
) -> TokenShifts:
    """The tokens whose shift outside the column space is largest for what is usual of them.

    Each shift is divided by the root mean square over all tokens of its model, and then by how far
    benign changes move that token.

    Args:
        residuals: takes out of a shift what a moved body explains.
        suspect: (V,) what no moved body explains of a suspect's shift, nats.
        null: (B, V) of benign changes, nats; None for the tokens with the largest shifts.
    """
    if null is None:
        order = np.argsort(-np.abs(suspect))[:SHOWN]
        return TokenShifts(None, order.tolist(), suspect[order].tolist())
    members = residuals.residual(null)
    members = members / _size(members)
    squares = members**2
    prior = _PRIOR * np.median(squares.mean(0)) + 1e-12
    usual = np.sqrt(squares.mean(0) + prior)
    # Each member is measured by what the others do, as the suspect is.
    of_others = (squares.sum(0) - squares) / max(1, len(squares) - 1)
    maxima = (np.abs(members) / np.sqrt(of_others + prior)).max(1)
    scores = np.abs(suspect / _size(suspect[None])[0]) / usual
    order = np.argsort(-scores)[:SHOWN]
    p = monte_carlo_p(int((maxima >= scores.max()).sum()), len(maxima))
    return TokenShifts(p, order.tolist(), suspect[order].tolist())


def _size(residuals: Array) -> Array:
    """(N, 1) root mean square of (N, V) residuals, nats; never quite 0."""
    return np.asarray(np.sqrt((residuals**2).mean(1, keepdims=True)) + 1e-3)
