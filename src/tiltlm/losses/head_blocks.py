"""A divergence and its gradients from hidden states and head, a block of rows at a time.

The logits of a block are made, turned into the block's gradient, carried on to what they were made
of, and forgotten. Knows nothing of autograd.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.losses.block_rows import BlockMemory, RowWork, rows_and_gradient
from tiltlm.losses.head_products import add_product, exact_product
from tiltlm.losses.head_target import BlockTarget, HeadTarget, TargetFromHead

BLOCK_NUMBERS = 1 << 24
"""Logits held at once on a processor: 64 MiB in float32, 333 rows of GPT-2's vocabulary.

With half as many rows the product with the head is a quarter slower: it is packed anew each time.
"""

_BLOCKS, _LARGER = 8, 4
"""Towards a fixed target, where so many blocks would not do for all rows, a processor's blocks are
larger, up to so many times: products of 1,024 rows take a twelfth less time than those of 333."""

GPU_BLOCK_NUMBERS = 1 << 28
"""Logits held at once on anything else: 1 GiB in float32, 2,048 rows of Llama 3's vocabulary.

Each block reads and writes the weight's gradient once, so few large blocks are faster."""

_GPU_ROWS = 128
"""Blocks on a GPU have a multiple of so many rows, as the tiles of its products have."""

_ROUNDED_BLOCKS = 4
"""Of so many blocks, gradients that are wanted in half precision are summed in it.

Each sum of k blocks rounds once, and for 4 blocks that is 1.6 times the error of rounding the end
result alone; the other way takes twice the memory. Of more blocks they are summed in float32."""

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
        scale: by which the head multiplies its product.
        cap: the head's soft cap, or None.
        event: (V,) boolean, whose mass is wanted; or None.
    """

    target: HeadTarget
    row_weights: torch.Tensor
    divergence: str
    scale: float
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
    tensors: Tensors, settings: BlockSettings, wanted: list[torch.dtype | None]
) -> BlockSums:
    """The loss, the event's mass, and the gradients that are wanted.

    Logits, loss and mass are float32, or float64 where the weight is.

    Args:
        tensors: what the logits are made of; the first two in the precision of the products.
        settings: what is done with them.
        wanted: the precision in which each of the tensors' gradients is wanted, None for none;
            what comes is of that or of a higher one.
    """
    hidden, weight, bias, inputs, columns = tensors
    assert hidden is not None
    assert weight is not None
    (count, size), device = (len(hidden), len(weight)), hidden.device
    exact = torch.float64 if weight.dtype == torch.float64 else torch.float32
    rows = rows_of_a_block(count, size, device, alone=isinstance(settings.target, torch.Tensor))
    memory = BlockMemory(min(rows, count), size, exact, weight.dtype, device)
    gradients = _room(tensors, wanted, memory, few=count <= rows * _ROUNDED_BLOCKS)
    bias, inputs, columns = (None if t is None else t.to(exact) for t in (bias, inputs, columns))
    scaled_bias = None if bias is None else bias * settings.scale
    nats = torch.zeros(count, dtype=exact, device=device)
    has_event = settings.event is not None
    mass = torch.zeros(count if has_event else 0, dtype=exact, device=device)
    event = None if settings.event is None else settings.event.to(device, exact)
    fixed = None
    if isinstance(settings.target, torch.Tensor):
        fixed = BlockTarget(settings.target.to(device, exact))
    weights = settings.row_weights.to(device, exact)
    # Half precision has no room for p / N where float16 is meant, so its slopes are larger.
    boost = 256.0 * count if weight.dtype == torch.float16 else 1.0
    work = RowWork(settings.divergence, settings.cap, scaled_bias, event)
    for first in range(0, count, rows):
        at = slice(first, min(first + rows, count))
        logits = memory.logits(at.stop - first)
        exact_product(logits, hidden[at], weight.T, alpha=settings.scale)
        target = fixed or BlockTarget(_target_logits(settings, at, logits, scaled_bias).to(device))
        if inputs is not None and columns is not None:
            exact_product(logits, inputs[at], columns.T, alpha=settings.scale, beta=1.0)
        done, slopes = rows_and_gradient(
            memory, logits, target, weights[at] * (settings.scale * boost), work
        )
        nats[at] = done.nats
        if done.event_mass is not None:
            mass[at] = done.event_mass
        _spread(slopes, at, [hidden, weight, bias, inputs, columns], gradients, 1 / boost)
    return BlockSums(torch.where(weights == 0, 0.0, nats * weights).sum(), mass, gradients)


def rows_of_a_block(count: int, size: int, device: torch.device, *, alone: bool) -> int:
    """As many rows as memory is meant for, or fewer where as many blocks come out the same size.

    Args:
        count: of all rows.
        size: V.
        device: where they are.
        alone: whether no target's logits are held beside a block's.
    """
    on_gpu = device.type != "cpu"
    multiple = _GPU_ROWS if on_gpu else 1
    numbers = GPU_BLOCK_NUMBERS if on_gpu else BLOCK_NUMBERS
    if alone and not on_gpu:
        numbers = max(numbers, min(-(-count * size // _BLOCKS), _LARGER * BLOCK_NUMBERS))
    most = max(16, numbers // size // multiple * multiple)
    blocks = max(1, -(-count // most))
    return min(most, -(-count // (blocks * multiple)) * multiple) or most


def _room(
    tensors: Tensors, wanted: list[torch.dtype | None], memory: BlockMemory, *, few: bool
) -> Tensors:
    """Memory for the gradients; the first block is written, not added."""
    make = torch.empty if len(tensors[0]) else torch.zeros  # type: ignore[arg-type]
    sums = (False, True, True, False, True)  # of all rows, while others have a row for each
    gradients: Tensors = []
    for tensor, kind, summed in zip(tensors, wanted, sums, strict=True):
        if tensor is None or kind is None:
            gradients.append(None)
            continue
        direct = kind == memory.product and (few or not summed) and tensor.ndim > 1
        made = make(tensor.shape, dtype=kind if direct else memory.exact, device=tensor.device)
        gradients.append(made)
    return gradients


def _target_logits(
    settings: BlockSettings, at: slice, product: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The target's logits at some rows.

    Args:
        settings: with a target that is another in each row.
        at: the rows.
        product: (rows, V) the head's product with their hidden states, before anything is added.
        bias: of the head, scaled as the product is.
    """
    if not isinstance(settings.target, TargetFromHead):
        return settings.target(at)  # type: ignore[operator]
    own, cap = product.clone() if bias is None else product + bias, settings.cap
    return settings.target.make(at, own if cap is None else cap * torch.tanh(own / cap))


def _spread(
    slopes: torch.Tensor, at: slice, tensors: Tensors, gradients: Tensors, alpha: float
) -> None:
    """Carry the gradient of a block's logits (rows, V) on to what they were made of.

    Args:
        slopes: that gradient, divided by ``alpha``.
        at: the block's rows.
        tensors: what the logits were made of.
        gradients: of which some are wanted.
        alpha: by which the gradient is to be multiplied.
    """
    hidden, weight, _, inputs, columns = (None if t is None else t.to(slopes) for t in tensors)
    for_hidden, for_weight, for_bias, for_inputs, for_columns = gradients
    beta = 0.0 if at.start == 0 else 1.0  # nothing is there yet when the first block comes
    if for_hidden is not None and weight is not None:
        add_product(for_hidden[at], slopes, weight, alpha=alpha, beta=0.0)
    if for_weight is not None and hidden is not None:
        add_product(for_weight, slopes.T, hidden[at], alpha=alpha, beta=beta)
    if for_bias is not None:
        summed = slopes.sum(0, dtype=for_bias.dtype).mul_(alpha)
        for_bias.copy_(summed if beta == 0 else for_bias + summed)
    if for_inputs is not None and columns is not None:
        add_product(for_inputs[at], slopes, columns, alpha=alpha, beta=0.0)
    if for_columns is not None and inputs is not None:
        add_product(for_columns, slopes.T, inputs[at], alpha=alpha, beta=beta)
