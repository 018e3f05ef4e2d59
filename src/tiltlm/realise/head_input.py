"""What the head is given: how hidden states vary, what moving them costs, how a move is read best.

Knows no targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.models.head import Head
from tiltlm.models.placement import float64_device
from tiltlm.realise.regression import float64_blocks

FISHER_POSITIONS = 2048
"""Positions from which it is learnt how the head responds."""

_RIDGE = 1e-6
_HEAD_ROWS = 8192
"""Rows of a head in half precision that are made float32 at once."""


@dataclass(frozen=True)
class HeadInput:
    """What the head is given, and what it costs to move it; float64, where the head's solver is.

    Attributes:
        head: of the reference.
        second_moment: (D, D) of the hidden states, mean of h·hᵀ.
        fisher_information: (D, D) of the hidden state, the mean over positions: ½ move·F·move is
            what a move of it costs, in nats, to second order.
    """

    head: Head
    second_moment: torch.Tensor
    fisher_information: torch.Tensor

    @classmethod
    def of(cls, reference: Reference) -> HeadInput:
        """Read both off a reference.

        Args:
            reference: at the fitting contexts.
        """
        head, hidden = reference.head, reference.hidden
        count, device = sum(map(len, hidden)), float64_device(reference.head.weight)
        moment = sum(rows.T @ rows for rows in float64_blocks(hidden, device)) / count
        assert isinstance(moment, torch.Tensor)
        step = max(1, count // FISHER_POSITIONS)
        response = _response_covariance(head, torch.cat(hidden)[::step]).to(device)
        return cls(head, moment, head.scale**2 * response)

    def best_reader(self, move: torch.Tensor) -> torch.Tensor:
        """The direction that reads a move as 1, and hidden states that did not move as least.

        Args:
            move: (D,) float64.

        Returns:
            (D,) float64; the mean square of what it reads off hidden states is 1 over
            `signal_to_noise`.
        """
        solved = self._solved(move)
        return solved / (move @ solved)

    def signal_to_noise(self, move: torch.Tensor) -> float:
        """Square of what is read of a move, over the mean square of what is read without it.

        Args:
            move: (D,) float64.
        """
        return float(move @ self._solved(move))

    def _solved(self, move: torch.Tensor) -> torch.Tensor:
        """(D,) the inverse of the second moment, with next to no ridge, times a move."""
        return torch.cholesky_solve(move[:, None], self._factor)[:, 0]

    @cached_property
    def _factor(self) -> torch.Tensor:
        """(D, D) Cholesky factor of that matrix, which many moves are solved with."""
        factor: torch.Tensor = torch.linalg.cholesky(with_ridge(self.second_moment))
        return factor


def with_ridge(moment: torch.Tensor, share: float = _RIDGE) -> torch.Tensor:
    """A (D, D) matrix with a share of its mean diagonal added to the diagonal.

    Args:
        moment: (D, D).
        share: of the mean.
    """
    ridged = moment.clone()
    ridged.diagonal().add_(share * moment.diagonal().mean())
    return ridged


def _response_covariance(head: Head, hidden: torch.Tensor) -> torch.Tensor:
    """Mean covariance of the head's rows under the model's own distribution.

    Times the square of the head's scale it is the Fisher information of the hidden state.

    Args:
        head: with weights (V, D).
        hidden: (N, D) hidden states.

    Returns:
        (D, D) float64, on the processor.
    """
    size, width = head.weight.shape
    mass = torch.zeros(size, device=head.weight.device)
    total = torch.zeros(width, width, dtype=torch.float64)
    slices = [slice(first, first + _HEAD_ROWS) for first in range(0, size, _HEAD_ROWS)]
    for rows in hidden.split(128):
        p = head.logits(rows).softmax(-1)
        mass += p.sum(0)
        mean = sum(p[:, tokens] @ head.weight[tokens].float() for tokens in slices)
        assert isinstance(mean, torch.Tensor)
        total -= (mean.T @ mean).cpu().double()
    for tokens in slices:
        weight = head.weight[tokens].float()
        total += (weight.T @ (mass[tokens, None] * weight)).cpu().double()
    return total / len(hidden)
