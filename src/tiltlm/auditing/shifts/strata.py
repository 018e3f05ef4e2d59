"""Strata of positions by what the reference is about to write, and a change as it shows in each.

A body that was trained towards a class moves hidden states most where the class could come next;
a benign fine-tune moves them in other patterns. A mean over all positions has lost the pattern, so
moves are averaged over each stratum by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tiltlm.auditing.arrays import Array

MAX_STRATA, POSITIONS_PER_STRATUM = 24, 64
"""There are at most so many strata, and so few that they have so many positions in the mean."""


@dataclass(frozen=True)
class Change:
    """How a suspect differs from its reference, as the audit of logits looks at it.

    Attributes:
        mean: (V,) mean log-ratio over all positions, centred on 0, nats.
        moves: (S, D) the move Δh that explains the mean log-ratio of each stratum.
        by_stratum: (S, V) mean log-ratio of each stratum, centred on 0, nats.
    """

    mean: Array
    moves: Array
    by_stratum: Array


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
