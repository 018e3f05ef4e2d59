"""The covariance of benign moves, as it would be known if one family of benign changes were not.

Σ is what makes a move of the body unsurprising. A suspect comes from a corpus that the pack does
not have, so its moves are more surprising than those of the members that Σ was learnt from; were
members scored by a Σ that knows their own family, such a suspect would be accused too often. So Σ
is learnt without each family in turn, as that of all members is (`place_covariance`): by as many
rounds of EM, from no knowledge. Begun at the Σ of all members, EM forgets a family too slowly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.shifts.place_covariance import (
    MAX_POSITIONS,
    MIN_SCALE_NATS,
    isotropic_covariance,
    rounds_of_em,
    rows_shown,
    within_place_scale,
)
from tiltlm.progress import Advance

_POSITIONS_PER_DIRECTION = 64
"""Positions that Σ is learnt from, over all members of other families, for each of its D
directions; at most `MAX_POSITIONS` in all."""


def covariances_without(
    ids: Array,
    ratios: Array,
    families: Sequence[str],
    rows: HeadRows,
    seed: int = 0,
    advance: Advance | None = None,
) -> dict[str, Array]:
    """Estimate the covariance Σ of benign Δh without each family in turn.

    Args:
        ids: (B, N, T) tokens that each benign change shows at each position.
        ratios: (B, N, T) log-ratios of these, nats.
        families: (B,) of what kind each is.
        rows: (V, D) rows of the reference's head.
        seed: of the positions that are drawn.
        advance: is told how many families are done.

    Returns:
        (D, D) by family, in units of a model's scale. A multiple of the identity where all other
        members are nearer to the reference than `MIN_SCALE_NATS`.
    """
    scales = np.array([within_place_scale(i, r) for i, r in zip(ids, ratios, strict=True)])
    tokens, numbers = np.unique(ids, return_inverse=True)
    centred = rows.centred()
    numbers, shown = numbers.reshape(ids.shape), rows_shown(centred, tokens)
    kinds, begun = np.array(families), isotropic_covariance(centred)
    most = min(MAX_POSITIONS, _POSITIONS_PER_DIRECTION * centred.width)
    found: dict[str, Array] = {}
    for done, family in enumerate(dict.fromkeys(families), 1):
        covariance = begun
        others = np.flatnonzero((kinds != family) & (scales > MIN_SCALE_NATS)).tolist()
        if others:
            draws = np.random.default_rng([seed, 8_112, done])
            count = max(1, most // len(others))
            drawn = [(m, draws.permutation(ids.shape[1])[:count]) for m in others]
            at = np.concatenate([numbers[m, p] for m, p in drawn])
            changes = np.concatenate([ratios[m, p].astype(float) / scales[m] for m, p in drawn])
            covariance = rounds_of_em(begun, shown, at, changes)
        found[family] = covariance
        if advance:
            advance(done)
    return found
