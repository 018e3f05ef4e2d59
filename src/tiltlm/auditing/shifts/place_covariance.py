"""How benign changes move hidden states from position to position, learnt from likeliest tokens.

At a position where a suspect shows T tokens, a moved body changes their logits by W_T Δh, with a Δh
of this position: T numbers, of which D > T could be the cause. What Δh is like is known from a
pack: its covariance Σ over members and positions, so the T numbers have the covariance W_T Σ W_Tᵀ.
Σ is the maximum-likelihood estimate by EM (Dempster, Laird and Rubin 1977), that of a factor
analysis with known loadings. Knows no classes.

A round of EM moves Σ by Σ Wᵀ Z W Σ / N, with Z the sum over N positions of y yᵀ − M⁻¹ at the tokens
that are shown, M their covariance and y = M⁻¹ r. Z W Σ is summed by token, and W Σ is wanted at
tokens that are shown at all, so there are few products as wide as Σ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.models.placement import float64_device

TOKEN_NOISE = 0.05
"""Standard deviation, per token and position, of what is no moved body, in units of a model's
scale."""


MIN_SCALE_NATS = 0.01
"""Models whose log-ratios differ by less within a position count as if theirs differed by this."""


ROUNDS = 12
"""Rounds of EM."""


MAX_POSITIONS = 8_192
"""Positions that Σ is learnt from at most, over all members."""


_BLOCK = 1_024
"""Positions that are computed at once."""


@dataclass(frozen=True)
class PlaceCovariance:
    """The covariance of benign log-ratios at the tokens that are shown at one position.

    A suspect that is served shows a few tokens at each position. A change Δh of the hidden state
    there, with the covariance Σ, and noise σ from token to token give their log-ratios the
    covariance W_T Σ W_Tᵀ + σ²·I, with W_T the rows of the head at these tokens. Its inverse weights
    them in a generalised least-squares regression.

    Attributes:
        rows: (V, D) rows of the reference's head, centred, float32.
        roots: (V, D) the same times a root of Σ, so that W Σ Wᵀ is their product with themselves.
        noise: σ, in units of a model's scale: `TOKEN_NOISE`, or more where a server is noisy.
    """

    rows: Array
    roots: Array
    noise: float = TOKEN_NOISE

    @classmethod
    def of(cls, rows: HeadRows, covariance: Array | None = None) -> PlaceCovariance:
        """Make it of Σ.

        Args:
            rows: (V, D) rows of the reference's head.
            covariance: (D, D) Σ in units of a model's scale, as `learn_place_covariance` gives it;
                without it all directions count alike.
        """
        centred = rows.centred()
        if covariance is None:
            covariance = isotropic_covariance(centred)
        root = _root(covariance)
        kept, roots = (np.empty((len(rows), rows.width), np.float32) for _ in range(2))
        for tokens, block in centred.blocks():
            kept[tokens] = block.cpu().numpy()
            roots[tokens] = (block @ torch.as_tensor(root).to(block)).cpu().numpy()
        return cls(kept, roots)

    def with_moves(self, covariance: Array) -> PlaceCovariance:
        """The same head and noise, with another Σ.

        Args:
            covariance: (D, D) Σ.
        """
        return replace(self, roots=self.rows @ _root(covariance).astype(np.float32))

    def with_noise(self, noise: float) -> PlaceCovariance:
        """The same with the noise of a server added to that of tokens.

        Args:
            noise: standard deviation of a log-probability when the same is asked again, in units
                of the suspect's scale.
        """
        return replace(self, noise=float(np.hypot(self.noise, noise)))

    def precision(self, tokens: Array) -> Array:
        """The inverse covariance of the log-ratios at each position.

        What all tokens of a position share is projected out, since normalising a distribution moves
        all of them alike: rows sum to 0.

        Args:
            tokens: (N, T) ids, −1 where no token is shown.

        Returns:
            (N, T, T) float32; 0 where no token is shown.
        """
        roots = np.where((tokens >= 0)[..., None], self.roots[tokens], 0).astype(float)
        covariance = roots @ roots.transpose(0, 2, 1)
        diagonal = np.arange(tokens.shape[1])
        covariance[:, diagonal, diagonal] += self.noise**2
        # A missing token has noise alone here, so it has no part in the others' precision.
        precision = np.linalg.inv(covariance)
        missing = tokens < 0
        precision[missing] = 0
        row_sums = precision.sum(2)
        total = row_sums.sum(1)[:, None, None]
        shared = row_sums[:, :, None] * row_sums[:, None, :]
        precision -= shared / np.where(total > 0, total, 1)
        return np.asarray(precision.astype(np.float32))


def within_place_scale(tokens: Array, ratios: Array) -> float:
    """The scale of a model: how far its log-ratios differ from token to token within a position.

    Args:
        tokens: (N, T) ids, −1 where no token is shown.
        ratios: (N, T) log-ratios, nats.

    Returns:
        the root of the median over positions of the variance over tokens, nats.

    >>> within_place_scale(np.array([[3, 5, -1]]), np.array([[0.25, 0.75, 99.0]]))
    0.25
    """
    return float(np.sqrt(np.median(_variances(tokens, ratios))))


def learn_place_covariance(ids: Array, ratios: Array, rows: HeadRows, seed: int = 0) -> Array:
    """Estimate the covariance Σ of benign Δh, each member's divided by its scale.

    Args:
        ids: (B, N, T) tokens that each benign change shows at each position.
        ratios: (B, N, T) log-ratios of these, nats.
        rows: (V, D) rows of the reference's head.
        seed: of the positions that are drawn.

    Returns:
        (D, D); where no member's scale is above `MIN_SCALE_NATS`, a multiple of the identity.
    """
    centred = rows.centred()
    scales = np.array([within_place_scale(i, r) for i, r in zip(ids, ratios, strict=True)])
    members = np.flatnonzero(scales > MIN_SCALE_NATS)
    covariance = isotropic_covariance(centred)
    if not len(members):
        return covariance
    count = max(1, MAX_POSITIONS // len(members))
    draws = np.random.default_rng([seed, 8_111])
    positions = [draws.permutation(ids.shape[1])[:count] for _ in members]
    tokens = np.concatenate([ids[m][p] for m, p in zip(members, positions, strict=True)])
    changes = np.concatenate(
        [ratios[m][p].astype(float) / scales[m] for m, p in zip(members, positions, strict=True)]
    )
    shown, numbers = np.unique(tokens, return_inverse=True)
    return rounds_of_em(
        covariance, rows_shown(centred, shown), numbers.reshape(tokens.shape), changes
    )


def rows_shown(centred: HeadRows, tokens: Array) -> torch.Tensor:
    """The rows of some tokens, where Σ is learnt from them.

    Args:
        centred: (V, D) rows of the reference's head, centred.
        tokens: (n,) ids.

    Returns:
        (n, D) float32, on the head's device, or on the processor if there is no float64 there.
    """
    return torch.from_numpy(centred.at(tokens)).float().to(float64_device(centred.weight))


def isotropic_covariance(centred: HeadRows) -> Array:
    """The covariance Σ of one who knows nothing of benign changes.

    Args:
        centred: (V, D) rows of the reference's head, centred.

    Returns:
        (D, D) multiple of the identity by which a token's logit has a variance of 1 on average.
    """
    squares = sum(float((rows**2).sum()) for _, rows in centred.blocks())
    return np.asarray(np.eye(centred.width) / max(squares / len(centred), 1e-300))


def rounds_of_em(covariance: Array, rows: torch.Tensor, tokens: Array, changes: Array) -> Array:
    """All rounds of EM from a first Σ on.

    Args:
        covariance: (D, D) the first.
        rows: as `rows_shown` gives them.
        tokens: (N, T) numbers of rows.
        changes: (N, T) log-ratios in units of a model's scale.

    Returns:
        (D, D) the last.
    """
    arrays = (covariance, tokens, changes)
    found, at, seen = (torch.from_numpy(array).to(rows.device) for array in arrays)
    for _ in range(ROUNDS):
        found = em_round(found, rows, at, seen)
    return found.cpu().numpy()


def em_round(
    covariance: torch.Tensor, rows: torch.Tensor, tokens: torch.Tensor, changes: torch.Tensor
) -> torch.Tensor:
    """One round of EM: the mean over positions of the second moment of Δh given what is shown.

    Args:
        covariance: (D, D) float64, Σ so far.
        rows: (V, D) rows of the head, centred, float32; of those tokens that are shown.
        tokens: (N, T) numbers of rows.
        changes: (N, T) float64 log-ratios in units of a model's scale.

    Returns:
        (D, D) float64, the next Σ.
    """
    moved = rows @ covariance.to(rows.dtype)
    by_token = torch.zeros_like(moved)
    for at, seen in zip(tokens.split(_BLOCK), changes.split(_BLOCK), strict=True):
        moved_there = moved[at]
        marginal = (moved_there @ rows[at].transpose(1, 2)).double()
        by_place = (_moments(_centred(marginal), seen) @ moved_there).flatten(0, 1)
        # The places of each token, one token after another: their sum is the same each time.
        counts = torch.bincount(at.flatten(), minlength=len(rows))
        by_token += torch.nn.functional.embedding_bag(
            at.flatten().argsort(stable=True), by_place, counts.cumsum(0) - counts, mode="sum"
        )
    total = covariance + (moved.T @ by_token).double() / len(tokens)
    return (total + total.T) / 2


def _moments(marginal: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """What the log-ratios at n positions say of the covariance that they should have.

    Args:
        marginal: (n, T, T) W_T Σ W_Tᵀ, with what all tokens of a position share taken out.
        changes: (n, T) log-ratios in units of a model's scale.

    Returns:
        (n, T, T) y yᵀ − M⁻¹, with what all tokens share taken out again, float32.
    """
    marginal.diagonal(dim1=1, dim2=2).add_(TOKEN_NOISE**2)
    precision = torch.linalg.inv(marginal)
    centred = changes - changes.mean(1, keepdim=True)
    explained = torch.einsum("nst,nt->ns", precision, centred)
    moments = explained[:, :, None] * explained[:, None, :] - precision
    return _centred(moments.float())


def _centred(matrices: torch.Tensor) -> torch.Tensor:
    """(n, T, T) matrices whose rows and columns sum to 0."""
    matrices = matrices - matrices.mean(1, keepdim=True)
    return matrices - matrices.mean(2, keepdim=True)


def _root(covariance: Array) -> Array:
    """(D, D) root of a covariance: its product with its own transpose is that."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(values.clip(0)))


def _variances(tokens: Array, ratios: Array) -> Array:
    """(N,) variance of log-ratios over the tokens that are shown at each position."""
    shown = tokens >= 0
    count = np.maximum(shown.sum(1), 1)
    shown_ratios = np.where(shown, ratios, 0.0).astype(float)
    means = shown_ratios.sum(1) / count
    squares = np.where(shown, shown_ratios - means[:, None], 0.0) ** 2
    return np.asarray(squares.sum(1) / count)
