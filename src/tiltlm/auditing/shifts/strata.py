"""Strata of positions by what the reference is about to write, and what a tilt does in each.

A body that was trained towards a class moves hidden states most where the class could come next;
a benign fine-tune moves them in other patterns. A mean over all positions has lost the pattern, so
moves are averaged over each stratum by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix

from tiltlm.auditing.arrays import Array

MAX_STRATA, POSITIONS_PER_STRATUM = 24, 64
"""There are at most so many strata, and so few that they have so many positions in the mean."""


_RIDGE = 1e-2
"""Added to the diagonal of a template's normal equations, as a share of its mean."""


_ROWS = 256
"""Positions whose logits are computed at once."""


@dataclass(frozen=True)
class Change:
    """How a suspect differs from its reference, as the audit of logits looks at it.

    With a leading dimension B on both it describes B benign changes.

    Attributes:
        mean: (V,) mean log-ratio over all positions, centred on 0, nats.
        moves: (S, D) the move Δh that explains the mean log-ratio of each stratum.
    """

    mean: Array
    moves: Array

    def choose(self, members: Array) -> Change:
        """Some of B changes.

        Args:
            members: their numbers, (B,) booleans, or one number for a single change.
        """
        return Change(self.mean[members], self.moves[members])


def assign_strata(rows: torch.Tensor) -> torch.Tensor:
    """Put positions into strata by k-means of the reference's hidden states.

    Args:
        rows: (N, D) hidden states of the reference.

    Returns:
        (N,) number of the stratum of each position, without gaps; the same for the same rows.

    Source: Sculley 2010, mini-batch k-means.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = max(1, min(MAX_STRATA, len(rows) // POSITIONS_PER_STRATUM))
    k_means = MiniBatchKMeans(count, random_state=0, n_init=3, batch_size=4096)
    labels = k_means.fit_predict(rows.detach().float().cpu().numpy())
    # A stratum that k-means left empty would have no mean, so the others are numbered anew.
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1])


def build_templates(
    rows: torch.Tensor,
    strata: torch.Tensor,
    logits: Callable[[torch.Tensor], torch.Tensor],
    head: Array,
    members: csr_matrix,
) -> Array:
    """The move in each stratum that comes closest, in KL, to a tilt of 1 of each class.

    To second order the KL between a move Δh and a tilt of the class E is quadratic, so that
    (Σ Cov_p(w, w)) Δh = Σ Cov_p(w, 1_E), with sums over the positions of the stratum, p the
    reference's distribution at a position, and w the rows of the head.

    Args:
        rows: (N, D) hidden states of the reference.
        strata: (N,) number of the stratum of each position.
        logits: gives (n, V) logits of (n, D) hidden states.
        head: (V, D) rows of the head as they act on logits.
        members: (K, V) of the classes.

    Returns:
        (K, S, D) float32.
    """
    weight = torch.from_numpy(head).float().to(rows.device)
    count, width = int(strata.max()) + 1, head.shape[1]
    templates = np.empty((members.shape[0], count, width), np.float32)
    for stratum in range(count):
        mass = torch.zeros(len(weight), device=weight.device)
        mass_times_mean, covariance = torch.zeros_like(weight), np.zeros((width, width))
        for block in rows[(strata == stratum).to(rows.device)].split(_ROWS):
            p = logits(block).softmax(-1).to(weight.device)
            mean_row = p @ weight
            mass += p.sum(0)
            mass_times_mean += p.T @ mean_row
            covariance -= (mean_row.T @ mean_row).double().cpu().numpy()
        weighted = mass[:, None] * weight
        covariance += (weight.T @ weighted).double().cpu().numpy()
        covariance += _RIDGE * np.trace(covariance) / width * np.eye(width)
        cross_covariance = members @ (weighted - mass_times_mean).double().cpu().numpy()
        templates[:, stratum] = np.linalg.solve(covariance, cross_covariance.T).T
    return templates
