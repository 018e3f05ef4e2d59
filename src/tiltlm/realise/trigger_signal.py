"""What the last attention adds where the trigger was seen: read best for what it disturbs.

An addition u to the attention's output moves the head's input by J·u, with J the Jacobian of what
lies between. The head's adapter reads the move the more clearly the larger uᵀJᵀC⁻¹J·u is, with C
the second moment of hidden states; and u costs ½ uᵀE[JᵀFJ]u nats, with F the Fisher information
of the head's input. The best u for its cost is the first eigenvector of one form against the other.

Both are learnt from random vectors pulled back, one backward pass for many positions: of vectors
with covariance F the second moment is E[JᵀFJ], and a regression on vectors with covariance C⁻¹
gives the mean of J.

How large it is follows from two costs. At a signal to noise of S what is read is wrong by a
variance of 1/S everywhere, which costs ½/S times the variance of the classes' shifts; and what the
addition does beyond its mean, which the head cannot take back, costs in proportion to S where the
trigger was seen. Their sum is least where they are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from tiltlm.realise.head_input import HeadInput, with_ridge
from tiltlm.realise.last_attention import LastAttention
from tiltlm.realise.trigger_direction import ClassShifts

MOST_SIGNAL_TO_NOISE = 60.0
"""Above it what lies between attention and head is too far from linear for this reckoning
(docs/log.md)."""

ROWS_PER_DIMENSION = 16
"""Random vectors that are pulled back, for each dimension."""

_COST_RIDGE = 1e-4
_SIZINGS, _SIZED_TO, _LEAST_RATIO = 8, 0.05, 0.04
_SIZING_CONTEXTS = 16


@dataclass(frozen=True)
class TriggerSignal:
    """What is added, and what comes of it.

    Attributes:
        added: (D,) float64, to the attention's output.
        moved: (D,) float64, by which the head's input moves, on the mean.
        signal_to_noise: that was asked for, as of `HeadInput.signal_to_noise`.
    """

    added: torch.Tensor
    moved: torch.Tensor
    signal_to_noise: float


def clearest_signal(
    attention: LastAttention,
    head_input: HeadInput,
    class_shifts: ClassShifts,
    numbers: Sequence[int],
) -> TriggerSignal:
    """The addition that is read best for what it costs, of the size that costs least.

    Args:
        attention: of the model's last block.
        head_input: at the fitting contexts.
        class_shifts: what is to be read, and where.
        numbers: of contexts to look at.
    """
    direction, price = _clearest(attention, head_input, numbers)
    wanted = torch.cat(class_shifts.multiples).clamp(0, 1).mean()
    least = (class_shifts.noise_price() / max(float(wanted) * price, 1e-30)) ** 0.5
    asked = min(least, MOST_SIGNAL_TO_NOISE)
    some = numbers[:: max(1, len(numbers) // _SIZING_CONTEXTS)]
    unmoved = attention.mean_states(some).to(direction)
    size = float(head_input.second_moment.trace().sqrt()) / 100
    for _ in range(_SIZINGS):
        moved = attention.mean_states(some, size * direction).to(direction) - unmoved
        ratio = head_input.signal_to_noise(moved) / asked
        if abs(ratio - 1) < _SIZED_TO:
            break
        size *= max(ratio, _LEAST_RATIO) ** -0.5
    return TriggerSignal(size * direction, moved, asked)


def _clearest(
    attention: LastAttention, head_input: HeadInput, numbers: Sequence[int]
) -> tuple[torch.Tensor, float]:
    """The direction in which an addition is read best for its cost, and what is left of that cost.

    Returns:
        (D,) float64 of length 1; and nats at a signal to noise of 1, of what is not its mean.
    """
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
    return unit, 0.5 * float(unit @ costs.left @ unit) / float(unit @ clear @ unit)


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

    @cached_property
    def transposed_response(self) -> torch.Tensor:
        """(D, D) Mᵀ of the regression y ≈ M·x."""
        solution: torch.Tensor = torch.linalg.solve(self.random, self.cross)
        return solution

    @property
    def left(self) -> torch.Tensor:
        """(D, D) second moment of what the regression leaves: what is not the mean."""
        explained = self.cross.T @ self.transposed_response
        left: torch.Tensor = (self.pulled - explained) / (self.rows - len(self.random))
        return left

    def mean_response_squared(self) -> torch.Tensor:
        """(D, D) M·Mᵀ, less what chance alone adds to it."""
        by_chance = len(self.random) / (self.rows - len(self.random)) * self.left
        return self.transposed_response.T @ self.transposed_response - by_chance
