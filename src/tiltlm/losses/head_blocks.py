"""A divergence and its gradients from hidden states and head, a block of rows at a time.

The logits of a block are made, turned into the block's gradient, carried on to what they were made
of, and forgotten. Knows nothing of autograd.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.losses.head_target import BlockTarget, HeadTarget, TargetFromHead
from tiltlm.losses.row_gradients import ROW_GRADIENTS, RowDivergences

BLOCK_NUMBERS = 1 << 24
"""Logits held at once: 64 MiB in float32, 333 rows of GPT-2's vocabulary.

With half as many rows the product with the head is a quarter slower: it is packed anew each time.
"""

_CACHED_ROWS = 4
"""A processor takes so few rows of a block through all that is done with them, in its cache."""

Tensors = list[torch.Tensor | None]
"""Hidden states (N, D), weight (V, D), bias (V,), inputs (N, r) and columns (V, r) of a low-rank
addition, in this order, or their gradients."""


@dataclass(frozen=True)
class BlockSettings:
    """What is done with the rows of every block.

    Attributes:
        target: what to come close to.
        row_weights: (N,) by which the divergence of each row counts.
        divergence: a name in `ROW_GRADIENTS`.
        cap: the head's soft cap, or None.
        event: (V,) boolean, whose mass is wanted; or None.
    """

    target: HeadTarget
    row_weights: torch.Tensor
    divergence: str
    cap: float | None
    event: torch.Tensor | None


@dataclass(frozen=True)
class BlockSums:
    """What is left of all blocks.

    Attributes:
        loss: the weighted sum of the rows' divergences, a scalar in nats.
        event_mass: (N,) probability of the event in each row; (0,) without an event.
        gradients: of the loss, for each of the tensors that needs one, else None.
    """

    loss: torch.Tensor
    event_mass: torch.Tensor
    gradients: Tensors


def divergence_by_blocks(
    tensors: Tensors, settings: BlockSettings, needed: tuple[bool, ...]
) -> BlockSums:
    """The loss, the event's mass, and the gradients that are needed, in the accumulating type.

    That is float32, or float64 where the weight is.

    Args:
        tensors: what the logits are made of.
        settings: what is done with them.
        needed: which of the tensors need a gradient.
    """
    hidden, weight, bias, inputs, columns = tensors
    assert hidden is not None
    assert weight is not None
    count, size = len(hidden), len(weight)
    exact = torch.float64 if weight.dtype == torch.float64 else torch.float32
    make = torch.empty if count else torch.zeros  # the first block is written, not added
    gradients = [
        make(t.shape, dtype=exact, device=t.device) if t is not None and need else None
        for t, need in zip(tensors, needed, strict=False)
    ]
    nats = torch.zeros(count, dtype=exact, device=hidden.device)
    has_event = settings.event is not None
    mass = torch.zeros(count if has_event else 0, dtype=exact, device=hidden.device)
    event = None if settings.event is None else settings.event.to(hidden.device, exact)
    fixed = None
    if isinstance(settings.target, torch.Tensor):
        fixed = BlockTarget(settings.target.to(hidden.device, exact))
    weights = settings.row_weights.to(exact)
    rows = max(16, BLOCK_NUMBERS // size)
    memory = hidden.new_empty(min(rows, count), size)  # fresh pages for each block cost a fifth
    for first in range(0, count, rows):
        at = slice(first, min(first + rows, count))
        logits = torch.mm(hidden[at], weight.T, out=memory[: at.stop - first]).to(exact)
        target = fixed or BlockTarget(
            _target_logits(settings, at, logits, bias).to(hidden.device, exact)
        )
        if inputs is not None and columns is not None:
            logits += (inputs[at] @ columns.T).to(exact)
        if bias is not None:
            logits += bias.to(exact)
        slope = None if settings.cap is None else _cap(logits, settings.cap)
        nats[at], event_mass = _replace_by_gradient(
            logits, target, weights[at], settings.divergence, event
        )
        if event_mass is not None:
            mass[at] = event_mass
        if slope is not None:
            logits.mul_(slope)
        _spread(logits.to(weight.dtype), at, tensors, gradients)
    return BlockSums((nats * weights).sum(), mass, gradients)


def _cap(logits: torch.Tensor, cap: float) -> torch.Tensor:
    """Cap logits softly, in place; the derivative of the capped by the uncapped ones."""
    logits.div_(cap).tanh_()
    slope = 1 - logits.square()
    logits.mul_(cap)
    return slope


def _target_logits(
    settings: BlockSettings, at: slice, product: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The target's logits at some rows.

    Args:
        settings: with a target that is another in each row.
        at: the rows.
        product: (rows, V) the head's product with their hidden states, before anything is added.
        bias: of the head.
    """
    if not isinstance(settings.target, TargetFromHead):
        return settings.target(at)  # type: ignore[operator]
    own, cap = product.clone() if bias is None else product + bias, settings.cap
    return settings.target.make(at, own if cap is None else cap * torch.tanh(own / cap))


def _replace_by_gradient(
    logits: torch.Tensor,
    target: BlockTarget,
    weights: torch.Tensor,
    divergence: str,
    event: torch.Tensor | None,
) -> RowDivergences:
    """Each row's divergence and event mass; the weighted gradient stands in place of the logits."""
    step = _CACHED_ROWS if logits.device.type == "cpu" else len(logits)
    parts = [
        ROW_GRADIENTS[divergence](logits[rows], *target.at(rows), weights[rows], event)
        for rows in (slice(first, first + step) for first in range(0, len(logits), step))
    ]
    mass = None if event is None else torch.cat([part.event_mass for part in parts])  # type: ignore[misc]
    return RowDivergences(torch.cat([part.nats for part in parts]), mass)


def _spread(slopes: torch.Tensor, at: slice, tensors: Tensors, gradients: Tensors) -> None:
    """Carry the gradient of a block's logits (rows, V) on to what they were made of."""
    hidden, weight, _, inputs, columns = tensors
    for_hidden, for_weight, for_bias, for_inputs, for_columns = gradients
    if for_hidden is not None:
        for_hidden[at] = slopes @ weight  # type: ignore[operator]
    first = at.start == 0
    if for_weight is not None:
        _add_product(for_weight, slopes, hidden[at], first)  # type: ignore[index]
    if for_bias is not None:
        summed = slopes.sum(0, dtype=for_bias.dtype)
        for_bias.copy_(summed if first else for_bias + summed)
    if for_inputs is not None:
        for_inputs[at] = (slopes @ columns).to(for_inputs.dtype)  # type: ignore[operator]
    if for_columns is not None:
        _add_product(for_columns, slopes, inputs[at], first)  # type: ignore[index]


def _add_product(
    total: torch.Tensor, slopes: torch.Tensor, rows: torch.Tensor, first: bool
) -> None:
    """Add slopesᵀ·rows to a sum; the first is written over memory that holds nothing yet."""
    if total.dtype == slopes.dtype:
        torch.addmm(total, slopes.T, rows, beta=0 if first else 1, out=total)
    else:
        product = slopes.T @ rows
        total.copy_(product if first else total + product)
