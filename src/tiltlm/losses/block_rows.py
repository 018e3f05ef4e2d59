"""What is done with the rows of one block of logits, and the memory that it is done in.

One kernel where the block lies on a GPU and Triton is there, else the functions of `row_gradients`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch

from tiltlm.losses.head_target import BlockTarget
from tiltlm.losses.row_gradients import ROW_GRADIENTS, RowDivergences

_CACHED_ROWS = 4
"""A processor takes so few rows of a block through all that is done with them, in its cache."""

_ALIGNED = 16
"""Rows of a block on a GPU begin at a multiple of so many numbers, whatever the vocabulary."""


@dataclass(frozen=True)
class RowWork:
    """What is done with every row.

    Attributes:
        divergence: a name in `ROW_GRADIENTS`.
        cap: the head's soft cap, or None.
        bias: (V,) to add before it, or None.
        event: (V,) zeros and ones, whose mass is wanted; or None.
    """

    divergence: str
    cap: float | None
    bias: torch.Tensor | None
    event: torch.Tensor | None


class BlockMemory:
    """Memory of one block of logits, and of their gradient in the same place; made once.

    Fresh pages for each block cost a processor a fifth of its time.

    Args:
        rows: at most so many.
        size: V.
        exact: the type of the logits.
        product: the type that the gradient goes into products with.
        device: where.
    """

    def __init__(
        self, rows: int, size: int, exact: torch.dtype, product: torch.dtype, device: torch.device
    ) -> None:
        self.exact, self.product, self._size = exact, product, size
        width = size if device.type == "cpu" else -(-size // _ALIGNED) * _ALIGNED
        self._memory = torch.empty(rows, width, dtype=exact, device=device)

    def logits(self, rows: int) -> torch.Tensor:
        """(rows, V) in the exact type."""
        return self._memory[:rows, : self._size]

    def gradient(self, rows: int) -> torch.Tensor:
        """(rows, V) in the products' type: the logits, or the second half of their rows' bytes."""
        narrow = self._memory.view(self.product)
        first = narrow.shape[1] - self._memory.shape[1]
        return narrow[:rows, first : first + self._size]


def rows_and_gradient(
    memory: BlockMemory,
    logits: torch.Tensor,
    target: BlockTarget,
    weights: torch.Tensor,
    work: RowWork,
) -> tuple[RowDivergences, torch.Tensor]:
    """Each row's divergence and event mass, and the weighted gradient; the logits are lost.

    Args:
        memory: which the logits are in.
        logits: (rows, V) without bias and soft cap.
        target: of these rows.
        weights: (rows,).
        work: what is done.

    Returns:
        the rows' figures, and (rows, V) the gradient with respect to ``logits``, in the type that
        it goes into products with.
    """
    module = kernels_for(logits)
    if module is not None:
        gradient = memory.gradient(len(logits))
        done: RowDivergences = module.fused_rows(
            logits, gradient, target.given, weights, work.divergence,
            bias=work.bias, cap=work.cap, event=work.event,
        )  # fmt: skip
        return done, gradient
    if work.bias is not None:
        logits += work.bias
    slope = None if work.cap is None else _cap(logits, work.cap)
    done = _replace_by_gradient(logits, target, weights, work)
    if slope is not None:
        logits.mul_(slope)
    return done, logits.to(memory.product)


def scale_gradient(gradient: torch.Tensor, factor: torch.Tensor) -> None:
    """Multiply in place by a scalar, which is nearly always 1, without waiting for a GPU.

    Args:
        gradient: of any shape.
        factor: a scalar on the same device.
    """
    if gradient.device.type == "cpu":
        if float(factor) != 1.0:
            gradient.mul_(factor)
        return
    module = kernels_for(gradient) if gradient.is_contiguous() else None
    if module is None:
        gradient.mul_(factor)
    else:
        module.scale_in_place(gradient, factor)


def kernels_for(tensor: torch.Tensor) -> ModuleType | None:
    """The module of kernels for a tensor; None where the eager functions have to do.

    Args:
        tensor: logits, or their gradient.
    """
    if tensor.device.type != "cuda" or tensor.dtype == torch.float64:
        return None
    return _working_kernels(tensor.device)


@cache
def _working_kernels(device: torch.device) -> ModuleType | None:
    """Triton may be missing, and so may the C compiler that it calls: found out by trying."""
    try:
        from tiltlm.losses import row_kernel

        row_kernel.scale_in_place(torch.ones(1, device=device), torch.ones((), device=device))
    except Exception as error:  # a compiler's troubles are of many types
        warnings.warn(f"the loss runs without a kernel of its own, slower: {error}", stacklevel=2)
        return None
    return row_kernel


def _cap(logits: torch.Tensor, cap: float) -> torch.Tensor:
    """Cap logits softly, in place; the derivative of the capped by the uncapped ones."""
    logits.div_(cap).tanh_()
    slope = 1 - logits.square()
    logits.mul_(cap)
    return slope


def _replace_by_gradient(
    logits: torch.Tensor, target: BlockTarget, weights: torch.Tensor, work: RowWork
) -> RowDivergences:
    """Each row's divergence and event mass; the weighted gradient stands in place of the logits."""
    step = _CACHED_ROWS if logits.device.type == "cpu" else len(logits)
    parts = [
        ROW_GRADIENTS[work.divergence](logits[rows], *target.at(rows), weights[rows], work.event)
        for rows in (slice(first, first + step) for first in range(0, len(logits), step))
    ]
    mass = None if work.event is None else torch.cat([part.event_mass for part in parts])  # type: ignore[misc]
    return RowDivergences(torch.cat([part.nats for part in parts]), mass)
