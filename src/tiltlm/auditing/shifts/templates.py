"""What a tilt of a class makes of the mean hidden state of each stratum: its template.

The template of a class is linear in its mask, so it is kept as a linear map and not as a table: a
table of thousands of classes by strata by dimensions would be larger than many models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.sparse_products import in_float64, times

_RIDGE = 1e-2
"""Added to the diagonal of a template's normal equations, as a share of its mean."""

_ROWS = 256
"""Positions whose logits are computed at once."""

_BLOCK_NUMBERS = 1 << 27
"""Numbers of the templates that are held at once where those of many classes are needed: 512 MiB
in float32."""


@dataclass(frozen=True)
class Templates:
    """The map from the masks of classes to moves.

    The template of a class E is the move in each stratum that comes closest, in KL, to a tilt of 1.
    To second order the KL between a move Δh and the tilt is quadratic, so that
    (Σ Cov_p(w, w)) Δh = Σ Cov_p(w, 1_E), with sums over the positions of the stratum, p the
    reference's distribution at a position, and w the rows of the head.

    Attributes:
        rows: (N, D) hidden states of the reference.
        logits: gives (n, V) logits of (n, D) hidden states.
        strata: (N,) number of the stratum of each position, from 0 to S − 1.
        head: (V, D) rows of the head as they act on logits.
        normal: (S, D, D) float32, Σ Cov_p(w, w) with a ridge.
        mean_rows: (N, D) float32, the mean of w under p at each position.
        mass: (S, V) float32, Σ p.
    """

    rows: torch.Tensor
    logits: Callable[[torch.Tensor], torch.Tensor]
    strata: torch.Tensor
    head: HeadRows
    normal: Array
    mean_rows: Array
    mass: Array

    @classmethod
    def of(
        cls,
        rows: torch.Tensor,
        logits: Callable[[torch.Tensor], torch.Tensor],
        strata: torch.Tensor,
        head: HeadRows,
    ) -> Templates:
        """Read the distributions of the reference, once.

        Args:
            rows: as the attributes.
            logits: likewise.
            strata: likewise.
            head: likewise.
        """
        count, width = int(strata.max()) + 1, head.width
        mass = np.zeros((count, len(head)), np.float32)
        mean_rows = np.empty((len(rows), width), np.float32)
        normal = np.zeros((count, width, width), np.float32)
        for stratum in range(count):
            of_stratum = torch.zeros(len(head), device=head.weight.device)
            for positions, p in _probabilities(rows, logits, strata, stratum):
                of_stratum += p.sum(0)
                products = [p[:, tokens] @ weight for tokens, weight in head.tensors()]
                mean_rows[positions] = torch.stack(products).sum(0).cpu().numpy()
            covariance = np.zeros((width, width))
            for tokens, weight in head.tensors():
                product = weight.T @ (of_stratum[tokens, None] * weight)
                covariance += product.cpu().double().numpy()
            means = mean_rows[(strata == stratum).numpy()].astype(float)
            covariance -= means.T @ means
            normal[stratum] = covariance + _RIDGE * np.trace(covariance) / width * np.eye(width)
            mass[stratum] = of_stratum.cpu().numpy()
        return cls(rows, logits, strata, head, normal, mean_rows, mass)

    def for_classes(self, members: csr_matrix) -> Array:
        """The templates of some classes.

        Args:
            members: (K, V) sparse, 1 where a token is in a class.

        Returns:
            (K, S, D) float32.
        """
        templates = np.empty((members.shape[0], *self.normal.shape[:2]), np.float32)
        columns = members.tocsc()
        for stratum, normal in enumerate(self.normal):
            shape = (members.shape[0], self.head.width)
            cross = in_float64(torch.zeros(shape, device=self.head.weight.device))
            for positions, p in _probabilities(self.rows, self.logits, self.strata, stratum):
                means = torch.from_numpy(self.mean_rows[positions]).to(p)
                cross -= times(members, in_float64(p).T.contiguous()) @ in_float64(means)
            for tokens, weight in self.head.tensors():
                weighted = torch.from_numpy(self.mass[stratum][tokens, None]).to(weight) * weight
                cross += times(columns[:, tokens], in_float64(weighted))
            solved = torch.linalg.solve(torch.from_numpy(normal).to(cross), cross.T)
            templates[:, stratum] = solved.T.cpu().numpy()
        return templates

    def blocks_of(self, members: csr_matrix) -> Iterator[slice]:
        """Classes whose templates memory should hold at once.

        Args:
            members: (K, V) sparse.

        Yields:
            slices of the K classes.
        """
        size = max(1, _BLOCK_NUMBERS // self.normal[:, 0].size)
        for begin in range(0, members.shape[0], size):
            yield slice(begin, min(begin + size, members.shape[0]))

    def along(self, directions: Array) -> Array:
        """The product of each token's template with one direction: the transpose of the map.

        The product of a class's template is the sum over its tokens.

        Args:
            directions: (S, D).

        Returns:
            (V,) float64.
        """
        products = np.zeros(len(self.head))
        solved = np.linalg.solve(self.normal.astype(float), directions[..., None])[..., 0]
        for tokens, weight in self.head.tensors():
            along = weight @ torch.from_numpy(solved.T).to(weight)
            products[tokens] += (self.mass[:, tokens].T * along.cpu().numpy()).sum(1)
        for stratum, direction in enumerate(solved):
            for positions, p in _probabilities(self.rows, self.logits, self.strata, stratum):
                means = self.mean_rows[positions] @ direction.astype(np.float32)
                products -= (torch.from_numpy(means).to(p) @ p).cpu().double().numpy()
        return products


def stratum_masses(
    rows: torch.Tensor,
    logits: Callable[[torch.Tensor], torch.Tensor],
    strata: torch.Tensor,
    size: int,
) -> Array:
    """The probability of each token under the reference, summed over each stratum.

    Args:
        rows: (N, D) hidden states of the reference.
        logits: gives (n, V) logits of (n, D) hidden states.
        strata: (N,) number of the stratum of each position.
        size: V, tokens of the vocabulary.

    Returns:
        (S, V) float32.
    """
    mass = np.zeros((int(strata.max()) + 1, size), np.float32)
    for stratum in range(len(mass)):
        for _, p in _probabilities(rows, logits, strata, stratum):
            mass[stratum] += p.sum(0).cpu().numpy()
    return mass


def _probabilities(
    rows: torch.Tensor,
    logits: Callable[[torch.Tensor], torch.Tensor],
    strata: torch.Tensor,
    stratum: int,
) -> Iterator[tuple[Array, torch.Tensor]]:
    """The positions of a stratum, a block after another, and (n, V) the distributions there."""
    for positions in torch.nonzero(strata == stratum)[:, 0].split(_ROWS):
        yield positions.numpy(), logits(rows[positions.to(rows.device)]).softmax(-1)
