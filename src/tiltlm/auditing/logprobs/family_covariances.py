"""The covariance of benign moves, as it would be known if one family of benign changes were not.

Σ is what makes a move of the body unsurprising. A suspect comes from a corpus that the pack does
not have, so its moves are more surprising than those of the members that Σ was learnt from; were
members scored by a Σ that knows their own family, such a suspect would be accused too often. So Σ
is learnt without each family in turn, as that of all members is (`place_covariance`): by as many
rounds of EM, from no knowledge. Begun at the Σ of all members, EM forgets a family too slowly.

A round moves Σ by Σ Wᵀ Z W Σ / N, with Z the sum over N positions of y yᵀ − M⁻¹ at the tokens that
are shown, M their covariance and y = M⁻¹ r. Z W Σ is summed by token, and W Σ is wanted at tokens
that are shown at all, so there are few products as wide as Σ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.place_covariance import (
    MIN_SCALE_NATS,
    TOKEN_NOISE,
    PlaceCovariance,
    within_place_scale,
)
from tiltlm.progress import Advance

_ROUNDS = 12
"""Rounds of EM."""


_POSITIONS_PER_DIRECTION, _MAX_POSITIONS = 64, 8_192
"""Positions that Σ is learnt from, over all members of other families: so many for each of its D
directions, and at most so many."""


_BLOCK = 1_024
"""Positions that are computed at once."""


def covariances_without(
    ids: Array,
    ratios: Array,
    families: Sequence[str],
    rows: Array,
    seed: int = 0,
    advance: Advance | None = None,
) -> dict[str, Array]:
    """Estimate the covariance Σ of benign Δh without each family in turn.

    Args:
        ids: (B, N, T) tokens that each benign change shows at each position.
        ratios: (B, N, T) log-ratios of these, nats.
        families: (B,) of what kind each is.
        rows: (V, D) rows of the reference's head, centred, float32.
        seed: of the positions that are drawn.
        advance: is told how many families are done.

    Returns:
        (D, D) by family, in units of a model's scale. A multiple of the identity where all other
        members are nearer to the reference than `MIN_SCALE_NATS`.
    """
    scales = np.array([within_place_scale(i, r) for i, r in zip(ids, ratios, strict=True)])
    tokens, numbers = np.unique(ids, return_inverse=True)
    numbers, shown = numbers.reshape(ids.shape), rows[tokens]
    kinds, width = np.array(families), rows.shape[1]
    square = max(float(np.einsum("vd,vd->", rows, rows)) / len(rows), 1e-300)
    most = min(_MAX_POSITIONS, _POSITIONS_PER_DIRECTION * width)
    found: dict[str, Array] = {}
    for done, family in enumerate(dict.fromkeys(families), 1):
        covariance = np.eye(width) / square
        others = np.flatnonzero((kinds != family) & (scales > MIN_SCALE_NATS)).tolist()
        if others:
            draws = np.random.default_rng([seed, 8_112, done])
            count = max(1, most // len(others))
            drawn = [(m, draws.permutation(ids.shape[1])[:count]) for m in others]
            at = np.concatenate([numbers[m, p] for m, p in drawn])
            changes = np.concatenate([ratios[m, p].astype(float) / scales[m] for m, p in drawn])
            for _ in range(_ROUNDS):
                covariance = em_round(covariance, shown, at, changes)
        found[family] = covariance
        if advance:
            advance(done)
    return found


def with_moves(place: PlaceCovariance, covariance: Array) -> PlaceCovariance:
    """The same head and noise, with another Σ.

    Args:
        place: of the head.
        covariance: (D, D) Σ.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(0))).astype(np.float32)
    return replace(place, roots=place.rows @ root)


def em_round(covariance: Array, rows: Array, tokens: Array, changes: Array) -> Array:
    """One round of EM: the mean over positions of the second moment of Δh given what is shown.

    Args:
        covariance: (D, D) Σ so far.
        rows: (V, D) rows of the head, centred, float32; of those tokens that are shown.
        tokens: (N, T) numbers of rows.
        changes: (N, T) log-ratios in units of a model's scale.

    Returns:
        (D, D) the next Σ.
    """
    moved = rows @ covariance.astype(np.float32)
    by_token = np.zeros_like(moved)
    for begin in range(0, len(tokens), _BLOCK):
        at = tokens[begin : begin + _BLOCK]
        moved_there = moved[at]
        marginal = (moved_there @ rows[at].transpose(0, 2, 1)).astype(float)
        pairs = _moments(_centred(marginal), changes[begin : begin + _BLOCK])
        by_place = (pairs @ moved_there).reshape(-1, rows.shape[1])
        columns = np.ones(at.size, np.float32), at.ravel(), np.arange(at.size + 1)
        by_token += sparse.csc_matrix(columns, shape=(len(rows), at.size)) @ by_place
    total = covariance + (moved.T @ by_token).astype(float) / len(tokens)
    return np.asarray((total + total.T) / 2)


def _moments(marginal: Array, changes: Array) -> Array:
    """What the log-ratios at n positions say of the covariance that they should have.

    Args:
        marginal: (n, T, T) W_T Σ W_Tᵀ, with what all tokens of a position share taken out.
        changes: (n, T) log-ratios in units of a model's scale.

    Returns:
        (n, T, T) y yᵀ − M⁻¹, with what all tokens share taken out again, float32.
    """
    diagonal = np.arange(marginal.shape[1])
    marginal[:, diagonal, diagonal] += TOKEN_NOISE**2
    precision = np.linalg.inv(marginal)
    explained = np.einsum("nst,nt->ns", precision, changes - changes.mean(1, keepdims=True))
    moments = explained[:, :, None] * explained[:, None, :] - precision
    return _centred(moments.astype(np.float32))


def _centred(matrices: Array) -> Array:
    """(n, T, T) matrices whose rows and columns sum to 0."""
    matrices = matrices - matrices.mean(1, keepdims=True)
    return np.asarray(matrices - matrices.mean(2, keepdims=True))
