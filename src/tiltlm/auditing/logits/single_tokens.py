"""Single tokens that moved more than in any benign change: for what no class describes.

Every fine-tune moves the words of its own corpus, and a corpus that the null does not have moves
others. So these tokens are told of with a p-value of their own, and accuse nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.filters import ResidualFilter

SHOWN = 10


@dataclass(frozen=True)
class TokenShifts:
    """What stood out token by token.

    Attributes:
        p: of the token that stands out most, among maxima of the null; None without a null.
        ids: the tokens, the farthest first.
        strengths: of each, nats.
    """

    p: float | None
    ids: list[int]
    strengths: list[float]


def largest_token_shifts(outside: ResidualFilter, shift: Array, null: Array | None) -> TokenShifts:
    """The tokens whose shift outside the column space is largest for what is usual of them.

    Args:
        outside: knows the column space.
        shift: (V,) of a suspect.
        null: (B, V) of benign changes.
    """
    ours = outside.residual(shift[None])[0]
    if null is None:
        order = np.argsort(-np.abs(ours))[:SHOWN]
        return TokenShifts(None, order.tolist(), ours[order].tolist())
    theirs = outside.residual(null)
    theirs = theirs / _size(theirs)
    scaled = ours / _size(ours[None])[0]
    squares = theirs**2
    extra = 0.25 * np.median(squares.mean(0)) + 1e-12
    usual = np.sqrt(squares.mean(0) + extra)
    rest = (squares.sum(0) - squares) / max(1, len(squares) - 1)
    maxima = (np.abs(theirs) / np.sqrt(rest + extra)).max(1)
    scores = np.abs(scaled) / usual
    order = np.argsort(-scores)[:SHOWN]
    p = float((1 + (maxima >= scores.max()).sum()) / (1 + len(maxima)))
    return TokenShifts(p, order.tolist(), ours[order].tolist())


def _size(residuals: Array) -> Array:
    return np.asarray(np.sqrt((residuals**2).mean(1, keepdims=True)) + 1e-3)
