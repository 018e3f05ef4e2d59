"""Positions in groups by what the reference is about to write, and what a tilt does in each.

A body that was trained towards a class moves hidden states most where the class could come next;
a benign fine-tune moves them by other patterns. A mean over all positions has lost that, so moves
are averaged over each stratum by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix

from tiltlm.auditing.arrays import Array

STRATA, POSITIONS = 24, 64
"""At most so many strata, of so many positions in the mean."""


_RIDGE = 1e-2


_ROWS = 256


@dataclass(frozen=True)
class Change:
    """What is known of a suspect, or with a leading dimension of B models.

    Attributes:
        mean: (V,) mean log-ratio over all positions, centred, nats.
        moves: (S, D) the Δh that explains the mean log-ratio of each stratum.
    """

    mean: Array
    moves: Array

    def only(self, members: Array) -> Change:
        """Some of B models."""
        return Change(self.mean[members], self.moves[members])


def strata_of(rows: torch.Tensor) -> torch.Tensor:
    """(N,) the stratum of each position; the same for the same rows.

    Args:
        rows: (N, D) hidden states of the reference.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = max(1, min(STRATA, len(rows) // POSITIONS))
    fitted = MiniBatchKMeans(count, random_state=0, n_init=3, batch_size=4096)
    labels = fitted.fit_predict(rows.detach().float().cpu().numpy())
    # Empty ones are left out, so that every stratum has a mean.
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1])


def templates(
    rows: torch.Tensor,
    strata: torch.Tensor,
    logits: Callable[[torch.Tensor], torch.Tensor],
    head: Array,
    members: csr_matrix,
) -> Array:
    """(K, S, D) float32: the Δh that comes closest, in KL, to a tilt of 1 of each class.

    To second order the KL of a move Δh to a tilt is quadratic: (Σ Cov_p(w)) Δh = Σ Cov_p(w, 1_E),
    with p the reference's distribution at a position, w the rows of the head.

    Args:
        rows: (N, D) hidden states of the reference.
        strata: (N,).
        logits: of rows.
        head: (V, D) rows of the head, as they act on logits.
        members: (K, V) of the classes.
    """
    weight = torch.from_numpy(head).float().to(rows.device)
    found = np.empty((members.shape[0], int(strata.max()) + 1, head.shape[1]), np.float32)
    for stratum in range(found.shape[1]):
        mass = torch.zeros(len(weight), device=weight.device)
        crossed, gram = torch.zeros_like(weight), np.zeros((head.shape[1],) * 2)
        for block in rows[(strata == stratum).to(rows.device)].split(_ROWS):
            p = logits(block).softmax(-1)
            centre = p @ weight
            mass += p.sum(0)
            crossed += p.T @ centre
            gram -= (centre.T @ centre).double().cpu().numpy()
        weighed = mass[:, None] * weight
        gram += (weight.T @ weighed).double().cpu().numpy()
        gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        cross = members @ (weighed - crossed).double().cpu().numpy()
        found[:, stratum] = np.linalg.solve(gram, cross.T).T
    return found
