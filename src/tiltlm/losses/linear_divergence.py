"""Divergences straight from hidden states and head: never all logits at once.

Logits of N rows take N·V numbers, and eager autograd holds several copies of them. Here each block
of rows gives its divergence and at once its gradients, in place, and the block is forgotten. What
is left is as large as the gradients that were asked for, and no others are computed: a frozen head
gets none, and a LoRA'd head one of its rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from tiltlm.errors import ConfigError, ShapeError
from tiltlm.losses.block_rows import scale_gradient
from tiltlm.losses.head_blocks import BlockSettings, Tensors, divergence_by_blocks
from tiltlm.losses.head_target import HeadTarget
from tiltlm.losses.row_gradients import ROW_GRADIENTS


class LinearDivergence(NamedTuple):
    """What `linear_kl` returns.

    Attributes:
        loss: a scalar in nats, differentiable.
        event_mass: (N,) probability of the event under the model; None without an event.
    """

    loss: torch.Tensor
    event_mass: torch.Tensor | None


@dataclass(frozen=True)
class HeadOptions:
    """What a head does besides its product: logits = cap·tanh(scale·(W h + b) / cap).

    Attributes:
        scale: by which the product is multiplied.
        cap: the soft cap; None for a head without one.
    """

    scale: float = 1.0
    cap: float | None = None


def linear_kl(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    target: HeadTarget,
    *,
    bias: torch.Tensor | None = None,
    low_rank: tuple[torch.Tensor, torch.Tensor] | None = None,
    head: HeadOptions | None = None,
    row_weights: torch.Tensor | None = None,
    denominator: torch.Tensor | float | None = None,
    divergence: str = "forward_kl",
    event: torch.Tensor | None = None,
) -> LinearDivergence:
    """Σ w·D(target, softmax(head(hidden))) / denominator, in nats, differentiable once.

    Logits, divergences and masses are float32 (float64 where the weight is), whatever the precision
    of hidden states and weight. There is one backward pass: gradients are made on the way forward
    and given away, so ``retain_graph`` and second derivatives are refused.

    Args:
        hidden: (N, D) what the head is given.
        weight: (V, D) of the head.
        target: what to come close to, see `HeadTarget`; it gets no gradient. A function's logits
            are normalised here.
        bias: (V,), or None.
        low_rank: ``(inputs, columns)``, (N, r) and (V, r): adds inputs @ columns.T to W h, which
            is what LoRA does with inputs = s·A h and columns = B.
        head: scale and soft cap.
        row_weights: (N,), 1 by default; rows of weight 0 cost as much as others, so leave them out.
            Where all are 0, so are the loss and its gradients.
        denominator: Σ w by default; give that of the whole step under gradient accumulation.
        divergence: ``forward_kl``, ``reverse_kl`` or ``jensen_shannon``.
        event: (V,) boolean; its mass under the model is returned, without gradient.

    Raises:
        ShapeError: shapes do not fit.
        ConfigError: no such divergence; or, later, a second backward pass or derivative.

    Source: the article's loss; gradients as in docs/architecture.md, "The loss without logits".

    >>> hidden, weight = torch.tensor([[1.0, 0.0]]), torch.zeros(2, 2)
    >>> target = torch.tensor([0.5, 0.5]).log()
    >>> linear_kl(hidden, weight, target).loss.item()
    0.0
    """
    _check(hidden, weight, bias, target)
    if divergence not in ROW_GRADIENTS:
        raise ConfigError(
            f"no such divergence: {divergence!r}", fix="one of " + ", ".join(ROW_GRADIENTS)
        )
    if row_weights is None:
        row_weights = torch.ones(len(hidden), dtype=torch.float32, device=hidden.device)
    total = row_weights.sum() if denominator is None else denominator
    shares = torch.where(row_weights == 0, 0.0, row_weights / total)  # of no rows at all, too
    head = head or HeadOptions()
    settings = BlockSettings(target, shares, divergence, head.scale, head.cap, event)
    inputs, columns = low_rank or (None, None)
    apply: Any = _LinearDivergence.apply
    loss, mass = apply(hidden, weight, bias, inputs, columns, settings)
    return LinearDivergence(loss, mass if event is not None else None)


def _check(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, target: HeadTarget
) -> None:
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"hidden states {tuple(hidden.shape)} and head {tuple(weight.shape)} do not fit",
            fix="give (N, D) and (V, D)",
        )
    size = weight.shape[:1]
    if bias is not None and bias.shape != size:
        raise ShapeError(f"the bias is {tuple(bias.shape)}, the head {tuple(weight.shape)}")
    if isinstance(target, torch.Tensor) and target.shape != size:
        raise ShapeError(
            f"the target is {tuple(target.shape)}, the vocabulary {size[0]}",
            fix="give (V,), or a function from rows to (rows, V)",
        )


class _LinearDivergence(torch.autograd.Function):
    """The loss and the event's mass; the gradients are made on the way forward, and kept."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        inputs: torch.Tensor | None,
        columns: torch.Tensor | None,
        settings: BlockSettings,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tensors: Tensors = [hidden, weight, bias, inputs, columns]
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        product = torch.get_autocast_dtype(device) if autocast else weight.dtype
        wanted = [
            t.dtype if t is not None and need else None
            for t, need in zip(tensors, ctx.needs_input_grad, strict=False)
        ]
        with torch.autocast(device, enabled=False):
            sums = divergence_by_blocks(
                [hidden.to(product), weight.to(product), *tensors[2:]], settings, wanted
            )
        ctx.gradients = [
            None if g is None else g.to(kind)
            for g, kind in zip(sums.gradients, wanted, strict=True)
        ]
        ctx.mark_non_differentiable(sums.event_mass)
        return sums.loss, sums.event_mass

    @staticmethod
    def backward(ctx: Any, grad_loss: torch.Tensor, _: torch.Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise ConfigError(
                "the gradients of linear_kl are given away by the first backward pass",
                fix="compute the loss again for another backward pass",
            )
        for gradient in gradients:
            if gradient is not None:
                scale_gradient(gradient, grad_loss)
        if torch.is_grad_enabled():  # that is create_graph=True
            apply: Any = _OnceDifferentiable.apply
            # Only what needs a gradient itself can pass on that it was differentiated.
            made = iter(apply(*(g.detach().requires_grad_() for g in gradients if g is not None)))
            gradients = [None if g is None else next(made) for g in gradients]
        return (*gradients, None)


class _OnceDifferentiable(torch.autograd.Function):
    """Gradients as they are; whoever differentiates them is told that this cannot be done.

    torch's own ``once_differentiable`` does so only where the loss's factor needs a gradient, and
    otherwise hands out constants, with which second derivatives are silently wrong.
    """

    @staticmethod
    def forward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> Any:
        raise ConfigError(
            "linear_kl can be differentiated once, and this is a second derivative of it",
            fix="compute the loss through all logits, with forward_kl",
        )
