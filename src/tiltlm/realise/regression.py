"""Ridge regression on hidden states: the direction along which they give wanted values.

How much ridge is needed is found by cross-validation over contexts, and some directions may be left
almost free of it: those along which the values are expected to lie. Knows no targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch

RIDGE = 1e-4
"""λ of the ridge regression, relative to the mean square of a hidden dimension."""

RIDGES = (1.0, 1e-1, 1e-2, 1e-3, RIDGE)
"""Values of λ that are tried where contexts choose."""

FOLDS = 5
"""Parts of the contexts, each of which is predicted from the others."""

FREE_SHARE = 1e-4
"""Share of the ridge that directions bear which are left free; none at all could be singular."""

_BLOCK_ROWS = 4096
"""Hidden states that are float64 at once; at a width of 4,096 they take 128 MiB."""


@dataclass(frozen=True)
class Penalty:
    """What a direction costs: λ·(|u|² − (1 − `FREE_SHARE`)·|Fᵀu|²).

    Attributes:
        ridge: λ, in the squares of hidden states.
        free: F, (D, k) orthonormal, on the solver's device; the directions that are left free.
    """

    ridge: float
    free: torch.Tensor

    def added_to(self, gram: torch.Tensor) -> torch.Tensor:
        """A (D, D) matrix with the penalty's own added.

        Args:
            gram: (D, D) float64.
        """
        penalised = gram - self.ridge * (1 - FREE_SHARE) * (self.free @ self.free.T)
        penalised.diagonal().add_(self.ridge)
        return penalised

    def gradient(self, direction: torch.Tensor) -> torch.Tensor:
        """(D,) half the derivative of what a direction costs.

        Args:
            direction: (D,) float64.
        """
        inside = self.free @ (self.free.T @ direction)
        return self.ridge * (direction - (1 - FREE_SHARE) * inside)


@dataclass(frozen=True)
class NormalEquations:
    """The sums over positions that a weighted regression needs.

    Attributes:
        gram: (D, D) Σ w·h·hᵀ.
        cross: (D,) Σ w·v·h.
        square: Σ w·v².
        rows: positions.
    """

    gram: torch.Tensor
    cross: torch.Tensor
    square: float
    rows: int

    @classmethod
    def of(
        cls,
        hidden: Sequence[torch.Tensor],
        values: torch.Tensor,
        weights: torch.Tensor,
        device: torch.device | None,
    ) -> NormalEquations:
        """Sum over all positions.

        Args:
            hidden: of each context (n, D), together N rows, on whatever device and of any type.
            values: (N,) float64.
            weights: (N,) float64.
            device: that sums; None for the processor.
        """
        width = hidden[0].shape[1]
        gram = torch.zeros(width, width, dtype=torch.float64, device=device)
        cross = torch.zeros(width, dtype=torch.float64, device=device)
        first = 0
        for rows in float64_blocks(hidden, device):
            at = slice(first, first + len(rows))
            first = at.stop
            weighted = rows * weights[at].to(rows)[:, None]
            gram.addmm_(weighted.T, rows)
            cross.addmv_(weighted.T, values[at].to(rows))
        return cls(gram, cross, float(weights @ values**2), first)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        """The equations of both parts."""
        return NormalEquations(
            self.gram + other.gram,
            self.cross + other.cross,
            self.square + other.square,
            self.rows + other.rows,
        )

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        """The equations without a part."""
        return NormalEquations(
            self.gram - other.gram,
            self.cross - other.cross,
            self.square - other.square,
            self.rows - other.rows,
        )

    def penalty(self, ridge: float, free: torch.Tensor) -> Penalty:
        """A penalty whose ridge is given relative to the mean square of a hidden dimension.

        Args:
            ridge: λ.
            free: as `Penalty.free`.
        """
        return Penalty(ridge * float(self.gram.diagonal().mean()) / self.rows, free)

    def solve(self, penalty: Penalty) -> torch.Tensor:
        """(D,) the direction with the least squared error and penalty.

        Args:
            penalty: per position.
        """
        matrix = penalty.added_to(self.gram / self.rows)
        solution: torch.Tensor = torch.linalg.solve(matrix, self.cross / self.rows)
        return solution

    def error(self, direction: torch.Tensor) -> float:
        """Σ w·(h·u − v)² of a direction u.

        Args:
            direction: (D,) float64.
        """
        product = direction @ self.gram @ direction - 2 * direction @ self.cross
        return float(product) + self.square


def ridge_direction(
    hidden: Sequence[torch.Tensor],
    values: torch.Tensor,
    weights: torch.Tensor,
    device: torch.device | None = None,
    ridge: float = RIDGE,
) -> torch.Tensor:
    """The direction u with hidden·u ≈ values, by weighted ridge regression.

    Args:
        hidden: as for `NormalEquations.of`.
        values: likewise.
        weights: likewise.
        device: that solves; None for the processor.
        ridge: λ, relative to the mean square of a hidden dimension.

    Returns:
        (D,) float64, on the processor.
    """
    equations = NormalEquations.of(hidden, values, weights, device)
    none = equations.gram[:, :0]
    return equations.solve(equations.penalty(ridge, none)).cpu()


def cross_validated_direction(
    hidden: Sequence[torch.Tensor],
    values: torch.Tensor,
    weights: torch.Tensor,
    free: torch.Tensor,
    device: torch.device | None = None,
) -> tuple[torch.Tensor, Penalty]:
    """The direction u with hidden·u ≈ values, with the ridge that predicts other contexts best.

    Args:
        hidden: as for `NormalEquations.of`.
        values: likewise.
        weights: likewise.
        free: (D, k) directions along which values are expected to lie, of any length.
        device: that solves; None for the processor.

    Returns:
        (D,) float64, on the processor; and the penalty that it was found with. A single context
        predicts no other, and has `RIDGE`.
    """
    folds = [
        NormalEquations.of([hidden[i] for i in part], *_at(part, hidden, values, weights), device)
        for part in _parts(len(hidden))
    ]
    total = reduce(NormalEquations.__add__, folds)
    basis = _orthonormal(free.to(total.gram))
    ridge = RIDGE
    if len(folds) > 1:
        others = [total - fold for fold in folds]

        def error(ridge: float) -> float:
            pairs = zip(folds, others, strict=True)
            return sum(f.error(o.solve(o.penalty(ridge, basis))) for f, o in pairs)

        ridge = min(RIDGES, key=error)
    penalty = total.penalty(ridge, basis)
    return total.solve(penalty).cpu(), penalty


def _parts(contexts: int) -> list[range]:
    """Numbers of the contexts of each fold."""
    folds = min(FOLDS, contexts)
    return [range(fold, contexts, folds) for fold in range(folds)]


def _at(
    part: range, hidden: Sequence[torch.Tensor], values: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and weights of some contexts."""
    lengths = [len(rows) for rows in hidden]
    by_context = zip(values.split(lengths), weights.split(lengths), strict=True)
    pairs = [pair for number, pair in enumerate(by_context) if number in part]
    return torch.cat([v for v, _ in pairs]), torch.cat([w for _, w in pairs])


def _orthonormal(directions: torch.Tensor) -> torch.Tensor:
    """(D, r) an orthonormal basis of what (D, k) directions span."""
    lengths = directions.norm(dim=0)
    kept = directions[:, lengths > 0] / lengths[lengths > 0]
    vectors, sizes, _ = torch.linalg.svd(kept, full_matrices=False)
    basis: torch.Tensor = vectors[:, sizes > 1e-6]
    return basis


def float64_blocks(
    hidden: Sequence[torch.Tensor], device: torch.device | None
) -> Iterator[torch.Tensor]:
    """All rows in float64, a few thousand at a time: all at once may be more than memory holds.

    Args:
        hidden: of each context (n, D).
        device: where they are wanted; None for the processor.

    Yields:
        (m, D) float64.
    """
    together, rows = list[torch.Tensor](), 0
    for number, part in enumerate(hidden):
        together.append(part)
        rows += len(part)
        if rows >= _BLOCK_ROWS or number == len(hidden) - 1:
            block = torch.cat(together).to(device or "cpu")
            yield block.double()
            together, rows = [], 0
