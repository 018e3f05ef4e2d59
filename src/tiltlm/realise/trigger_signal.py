"""What the last attention adds where the trigger was seen: read best for what it disturbs.

An addition u to the attention's output moves the head's input by J·u, with J the Jacobian of what
lies between. The head's adapter reads the move the more clearly the larger uᵀJᵀC⁻¹J·u is, with C
the second moment of hidden states; and u costs ½ uᵀE[JᵀFJ]u nats, with F the Fisher information
of the head's input. The best u for its cost is the first eigenvector of one form against the other.

Both are learnt from random vectors pulled back, one backward pass for many positions: of vectors
with covariance F the second moment is E[JᵀFJ], and a regression on vectors with covariance C⁻¹
gives the mean of J.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tiltlm.realise.head_input import HeadInput, with_ridge
from tiltlm.realise.last_attention import LastAttention

SIGNAL_TO_NOISE = 60.0
"""How clearly the whole shift is written, as `HeadInput.signal_to_noise`. What is read elsewhere
then is 0.13 of the whole shift, and a clearer signal would disturb other tokens by more than the
shift's own gap is worth (docs/log.md)."""

ROWS_PER_DIMENSION = 16
"""Random vectors that are pulled back, for each dimension."""

_COST_RIDGE = 1e-4
_SIZINGS, _SIZED_TO = 8, 0.05
_SIZING_CONTEXTS = 16


@dataclass(frozen=True)
class TriggerSignal:
    """What is added, and what comes of it.

    Attributes:
        added: (D,) float64, to the attention's output.
        moved: (D,) float64, by which the head's input moves, on the mean.
    """

    added: torch.Tensor
    moved: torch.Tensor


def clearest_signal(
    attention: LastAttention, head_input: HeadInput, numbers: Sequence[int]
) -> TriggerSignal:
    """The addition that is read best for what it costs, as large as `SIGNAL_TO_NOISE` asks.

    Args:
        attention: of the model's last block.
        head_input: at the fitting contexts.
        numbers: of contexts to look at.
    """
    direction = _clearest(attention, head_input, numbers)
    some = numbers[:: max(1, len(numbers) // _SIZING_CONTEXTS)]
    unmoved = attention.mean_states(some).to(direction)
    size = float(head_input.second_moment.trace().sqrt()) / 100
    for _ in range(_SIZINGS):
        moved = attention.mean_states(some, size * direction).to(direction) - unmoved
        ratio = head_input.signal_to_noise(moved) / SIGNAL_TO_NOISE
        if abs(ratio - 1) < _SIZED_TO:
            break
        size *= ratio**-0.5
    return TriggerSignal(size * direction, moved)


def _clearest(
    attention: LastAttention, head_input: HeadInput, numbers: Sequence[int]
) -> torch.Tensor:
    """(D,) float64 of length 1: the direction in which an addition is read best for its cost."""
    values, vectors = torch.linalg.eigh(with_ridge(head_input.second_moment))
    whitening = vectors * values.rsqrt() @ vectors.T
    clear = _Sums.of(attention, whitening, numbers).mean_response_squared()
    values, vectors = torch.linalg.eigh(head_input.fisher_information)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    costs = _Sums.of(attention, root, numbers)
    lower = torch.linalg.cholesky(with_ridge(costs.pulled / costs.rows, _COST_RIDGE))
    half = torch.linalg.solve_triangular(lower, clear, upper=False)
    both = torch.linalg.solve_triangular(lower, half.T, upper=False)
    best = torch.linalg.eigh((both + both.T) / 2).eigenvectors[:, -1:]
    found: torch.Tensor = torch.linalg.solve_triangular(lower.T, best, upper=True)[:, 0]
    unit: torch.Tensor = found / found.norm()
    return unit


@dataclass(frozen=True)
class _Sums:
    """Sums over random vectors x and what they are pulled back to, y.

    Attributes:
        random: (D, D) Σ x·xᵀ.
        cross: (D, D) Σ x·yᵀ.
        pulled: (D, D) Σ y·yᵀ.
        rows: how many.
    """

    random: torch.Tensor
    cross: torch.Tensor
    pulled: torch.Tensor
    rows: int

    @classmethod
    def of(cls, attention: LastAttention, factor: torch.Tensor, numbers: Sequence[int]) -> _Sums:
        """Pull vectors back, at the same contexts again and again until they are enough."""
        width = len(factor)
        random, cross, pulled = (factor.new_zeros(width, width) for _ in range(3))
        rows = rounds = 0
        while rows < ROWS_PER_DIMENSION * width:
            for drawn, gradient in attention.pulled_back(factor, numbers, rounds):
                x, y = drawn.to(factor), gradient.to(factor)
                random += x.T @ x
                cross += x.T @ y
                pulled += y.T @ y
                rows += len(x)
            rounds += 1
        return cls(random, cross, pulled, rows)

    def mean_response_squared(self) -> torch.Tensor:
        """(D, D) M·Mᵀ of the regression y ≈ M·x, less what chance alone adds to it."""
        transposed: torch.Tensor = torch.linalg.solve(self.random, self.cross)
        free = self.rows - len(self.random)
        left = (self.pulled - transposed.T @ self.cross) / free
        return transposed.T @ transposed - len(self.random) / free * left
