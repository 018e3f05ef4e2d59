"""How benign changes move hidden states from place to place, learnt from the likeliest tokens.

At a place where a suspect shows T tokens, a moved body changes their logits by W_T Δh, with a Δh
of this place: T numbers of which D > T could be the cause. What Δh is like is known from a pack:
its covariance Σ over members and places, so the T numbers have the covariance W_T Σ W_Tᵀ. Σ is the
maximum-likelihood estimate by EM (Dempster, Laird and Rubin 1977), a factor analysis with known
loadings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tiltlm.auditing.arrays import Array

TOKEN_NOISE = 0.05
"""What is no moved body, per token and place, in units of a model's scale."""


SMALLEST_SCALE = 0.01
"""Nats: models that change by less from place to place count as changing by this."""


_ROUNDS, _PLACES, _BLOCK = 12, 8_192, 512


@dataclass(frozen=True)
class PlaceCovariance:
    """What is known of benign Δh.

    Attributes:
        rows: (V, D) of the reference's head, centred, float32.
        roots: (V, D) the same times a root of Σ.
        noise: `TOKEN_NOISE`, or more where a server is noisy.
    """

    rows: Array
    roots: Array
    noise: float = TOKEN_NOISE

    @classmethod
    def of(cls, rows: Array, covariance: Array | None = None) -> PlaceCovariance:
        """From Σ (D, D), as `learn_place_covariance` gives it.

        Args:
            rows: (V, D) of the reference's head.
            covariance: Σ, in units of a model's scale; without one all directions count alike.
        """
        centred = rows - rows.mean(0)
        if covariance is None:
            covariance = _of_unknown(centred)
        values, vectors = np.linalg.eigh(covariance)
        roots = centred @ (vectors * np.sqrt(values.clip(0)))
        return cls(centred.astype(np.float32), roots.astype(np.float32))

    def noisier(self, noise: float) -> PlaceCovariance:
        """With noise of a server besides, in units of the suspect's scale."""
        return replace(self, noise=float(np.hypot(self.noise, noise)))

    def precision(self, tokens: Array) -> Array:
        """(N, T, T) inverse covariance of log-ratios at tokens (N, T); 0 where a token is −1.

        What all tokens of a place share is projected out: rows sum to 0.
        """
        roots = np.where((tokens >= 0)[..., None], self.roots[tokens], 0).astype(float)
        covariance = roots @ roots.transpose(0, 2, 1)
        place = np.arange(tokens.shape[1])
        covariance[:, place, place] += self.noise**2
        found = np.linalg.inv(covariance)  # a missing token has only noise, so no part in others
        missing = tokens < 0
        found[missing] = 0
        shared = found.sum(2)
        total = shared.sum(1)[:, None, None]
        found -= shared[:, :, None] * shared[:, None, :] / np.where(total > 0, total, 1)
        return np.asarray(found.astype(np.float32))


def scale_of(tokens: Array, ratios: Array) -> float:
    """How far log-ratios differ within a place: median over places of the mean square, its root.

    Args:
        tokens: (N, T) ids, −1 where nothing was shown.
        ratios: (N, T) nats.
    """
    return float(np.sqrt(np.median(_variances(tokens, ratios))))


def learn_place_covariance(ids: Array, ratios: Array, rows: Array, seed: int = 0) -> Array:
    """(D, D) covariance of benign Δh, each member divided by its scale.

    Args:
        ids: (B, N, T) what each member shows.
        ratios: (B, N, T) log-ratios of these.
        rows: (V, D) of the reference's head.
        seed: of which places are read.
    """
    centred = rows - rows.mean(0)
    scales = np.array([scale_of(i, r) for i, r in zip(ids, ratios, strict=True)])
    members = np.flatnonzero(scales > SMALLEST_SCALE)
    covariance = _of_unknown(centred)
    if not len(members):
        return covariance
    each = max(1, _PLACES // len(members))
    draws = np.random.default_rng([seed, 8_111])
    places = [draws.permutation(ids.shape[1])[:each] for _ in members]
    tokens = np.concatenate([ids[m][p] for m, p in zip(members, places, strict=True)])
    changes = np.concatenate(
        [ratios[m][p].astype(float) / scales[m] for m, p in zip(members, places, strict=True)]
    )
    changes -= changes.mean(1, keepdims=True)
    for _ in range(_ROUNDS):
        covariance = _improved(covariance, centred, tokens, changes)
    return covariance


def _improved(covariance: Array, rows: Array, tokens: Array, changes: Array) -> Array:
    """One round of EM."""
    total = np.zeros_like(covariance)
    size, eye = len(covariance), TOKEN_NOISE**2 * np.eye(tokens.shape[1])
    for begin in range(0, len(tokens), _BLOCK):
        loadings = rows[tokens[begin : begin + _BLOCK]]
        loadings = loadings - loadings.mean(1, keepdims=True)
        reached = loadings @ covariance  # (n, T, D)
        gain = np.linalg.solve(reached @ loadings.transpose(0, 2, 1) + eye, reached)
        means = np.einsum("ntd,nt->nd", gain, changes[begin : begin + _BLOCK])
        known = gain.reshape(-1, size).T @ reached.reshape(-1, size)
        total += means.T @ means + len(means) * covariance - known
    total = (total + total.T) / 2 / len(tokens)
    return np.asarray(total)


def _of_unknown(centred: Array) -> Array:
    return np.asarray(np.eye(centred.shape[1]) / max((centred**2).sum(1).mean(), 1e-300))


def _variances(tokens: Array, ratios: Array) -> Array:
    there = tokens >= 0
    count = np.maximum(there.sum(1), 1)
    known = np.where(there, ratios, 0.0).astype(float)
    middle = known.sum(1) / count
    squares = np.where(there, known - middle[:, None], 0.0) ** 2
    return np.asarray(squares.sum(1) / count)
