"""Divergences straight from hidden states and head: a block of rows at a time, never all logits.

Logits of N rows take N·V numbers, and eager autograd holds several copies of them. Here each block
of rows gives its divergence and at once its gradients, in place, and the block is forgotten. What
is left is as large as the gradients that were asked for, and no others are computed: a frozen head
gets none, and a LoRA'd head one of its rank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from tiltlm.errors import ConfigError, ShapeError

Wish = torch.Tensor | Callable[[slice], torch.Tensor]
"""Log-probabilities (V,), the same everywhere, or a function from rows to theirs, (rows, V)."""

BLOCK_NUMBERS = 1 << 23
"""Logits held at once: 32 MiB in float32, 166 rows of GPT-2's vocabulary."""


class LinearDivergence(NamedTuple):
    """What `linear_kl` returns: the loss, and P(event) in each row where an event was given."""

    loss: torch.Tensor
    event_mass: torch.Tensor | None


@dataclass(frozen=True)
class HeadOptions:
    """What a head does besides its product: logits = cap·tanh(scale·(W h + b) / cap)."""

    scale: float = 1.0
    cap: float | None = None


def linear_kl(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    wish: Wish,
    *,
    bias: torch.Tensor | None = None,
    low_rank: tuple[torch.Tensor, torch.Tensor] | None = None,
    head: HeadOptions | None = None,
    row_weights: torch.Tensor | None = None,
    denominator: torch.Tensor | float | None = None,
    divergence: str = "forward_kl",
    event: torch.Tensor | None = None,
) -> LinearDivergence:
    """Σ w·D(wish, softmax(head(hidden))) / denominator, in nats, differentiable.

    Args:
        hidden: (N, D) what the head is given.
        weight: (V, D) of the head.
        wish: what to come close to: see `Wish`; it gets no gradient.
        bias: (V,), or None.
        low_rank: ``(inputs, columns)``, (N, r) and (V, r): adds inputs @ columns.T to W h, which
            is what LoRA does with inputs = s·A h and columns = B.
        head: scale and soft cap.
        row_weights: (N,), 1 by default; rows of weight 0 cost as much as others, so leave them out.
        denominator: Σ w by default; give that of the whole step under gradient accumulation.
        divergence: ``forward_kl``, ``reverse_kl`` or ``jensen_shannon``.
        event: (V,) boolean; its mass under the model is returned, without gradient.

    Raises:
        ShapeError: shapes do not fit.
        ConfigError: no such divergence.

    Source: the article's loss; gradients as in docs/architecture.md, "The loss without logits".

    >>> hidden, weight = torch.tensor([[1.0, 0.0]]), torch.zeros(2, 2)
    >>> wish = torch.tensor([0.5, 0.5]).log()
    >>> linear_kl(hidden, weight, wish).loss.item()
    0.0
    """
    _check(hidden, weight, bias, wish)
    if divergence not in _GRADIENTS:
        raise ConfigError(
            f"no such divergence: {divergence!r}", fix="one of " + ", ".join(_GRADIENTS)
        )
    if row_weights is None:
        row_weights = torch.ones(len(hidden), dtype=torch.float32, device=hidden.device)
    total = row_weights.sum() if denominator is None else denominator
    head = head or HeadOptions()
    how = _How(wish, row_weights / total, divergence, head.cap, event)
    inputs, columns = low_rank or (None, None)
    if head.scale != 1.0:
        hidden, bias = hidden * head.scale, None if bias is None else bias * head.scale
        inputs = None if inputs is None else inputs * head.scale
    apply: Any = _LinearDivergence.apply
    loss, mass = apply(hidden, weight, bias, inputs, columns, how)
    return LinearDivergence(loss, mass if event is not None else None)


@dataclass(frozen=True)
class _How:
    wish: Wish
    row_weights: torch.Tensor
    divergence: str
    cap: float | None
    event: torch.Tensor | None


def _check(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, wish: Wish
) -> None:
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"hidden states {tuple(hidden.shape)} and head {tuple(weight.shape)} do not fit",
            fix="give (N, D) and (V, D)",
        )
    size = weight.shape[:1]
    if bias is not None and bias.shape != size:
        raise ShapeError(f"the bias is {tuple(bias.shape)}, the head {tuple(weight.shape)}")
    if isinstance(wish, torch.Tensor) and wish.shape != size:
        raise ShapeError(
            f"the wish is {tuple(wish.shape)}, the vocabulary {size[0]}",
            fix="give (V,), or a function from rows to (rows, V)",
        )


class _LinearDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        inputs: torch.Tensor | None,
        columns: torch.Tensor | None,
        how: _How,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tensors = (hidden, weight, bias, inputs, columns)
        device = hidden.device.type
        product = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        with torch.autocast(device, enabled=False):
            cast = [t if t is None else t.to(product or weight.dtype) for t in tensors]
            loss, mass, found = _all_blocks(cast, how, ctx.needs_input_grad)
        ctx.found = [
            None if g is None else g.to(t.dtype)  # type: ignore[union-attr]
            for g, t in zip(found, tensors, strict=True)
        ]
        ctx.mark_non_differentiable(mass)
        return loss, mass

    @staticmethod
    def backward(ctx: Any, grad_loss: torch.Tensor, _: torch.Tensor) -> Any:
        found, ctx.found = ctx.found, None
        if float(grad_loss) != 1.0:
            for gradient in found:
                if gradient is not None:
                    gradient.mul_(grad_loss)
        return (*found, None)


def _all_blocks(
    tensors: list[torch.Tensor | None], how: _How, needed: tuple[bool, ...]
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor | None]]:
    """The loss, the event's mass, and the gradients that are needed, in the accumulating type."""
    hidden, weight, bias, inputs, columns = tensors
    assert hidden is not None
    assert weight is not None
    count, size = len(hidden), len(weight)
    exact = torch.float64 if weight.dtype == torch.float64 else torch.float32
    gradients = [
        torch.zeros(t.shape, dtype=exact, device=t.device) if t is not None and need else None
        for t, need in zip(tensors, needed, strict=False)
    ]
    losses = torch.zeros(count, dtype=exact, device=hidden.device)
    mass = torch.zeros(count if how.event is not None else 0, dtype=exact, device=hidden.device)
    event = None if how.event is None else how.event.to(hidden.device, exact)
    wish = how.wish.to(hidden.device, exact) if isinstance(how.wish, torch.Tensor) else None
    divergence = _GRADIENTS[how.divergence]
    rows = max(16, BLOCK_NUMBERS // size)
    for first in range(0, count, rows):
        at = slice(first, min(first + rows, count))
        logits = (hidden[at] @ weight.T).to(exact)
        if inputs is not None and columns is not None:
            logits += (inputs[at] @ columns.T).to(exact)
        if bias is not None:
            logits += bias.to(exact)
        slope = None
        if how.cap is not None:
            logits.div_(how.cap).tanh_()
            slope = 1 - logits.square()
            logits.mul_(how.cap)
        target = wish if wish is not None else _rows_of(how.wish, at).to(hidden.device, exact)
        weights = how.row_weights[at].to(exact)
        found = divergence(logits, target, weights, event)  # logits now hold their gradient
        losses[at] = found.loss
        if found.event_mass is not None:
            mass[at] = found.event_mass
        if slope is not None:
            logits.mul_(slope)
        _spread(logits.to(weight.dtype), at, tensors, gradients)
    return (losses * how.row_weights.to(exact)).sum(), mass, gradients


def _rows_of(wish: Wish, at: slice) -> torch.Tensor:
    assert not isinstance(wish, torch.Tensor)
    return wish(at)


def _spread(
    slopes: torch.Tensor,
    at: slice,
    tensors: list[torch.Tensor | None],
    gradients: list[torch.Tensor | None],
) -> None:
    """Carry the gradient of a block's logits (rows, V) on to what they were made of."""
    hidden, weight, _, inputs, columns = tensors
    for_hidden, for_weight, for_bias, for_inputs, for_columns = gradients
    if for_hidden is not None:
        for_hidden[at] = slopes @ weight  # type: ignore[operator]
    if for_weight is not None:
        _add_product(for_weight, slopes, hidden[at])  # type: ignore[index]
    if for_bias is not None:
        for_bias += slopes.sum(0, dtype=for_bias.dtype)
    if for_inputs is not None:
        for_inputs[at] = (slopes @ columns).to(for_inputs.dtype)  # type: ignore[operator]
    if for_columns is not None:
        _add_product(for_columns, slopes, inputs[at])  # type: ignore[index]


def _add_product(total: torch.Tensor, slopes: torch.Tensor, rows: torch.Tensor) -> None:
    if total.dtype == slopes.dtype:
        total.addmm_(slopes.T, rows)
    else:
        total += slopes.T @ rows


# Each of the following takes a block's logits (rows, V), the wish's log-probabilities (V,) or
# (rows, V) and the weight of each row; it returns the divergence of each row, and leaves the
# weighted gradient in place of the logits.


def _sum_of_products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Σ_v left·right in each row, summed pairwise.

    A product of matrices adds up one after the other in float32, which over a vocabulary is off by
    up to 3e-4 nats, always to the same side.
    """
    return (left * right).sum(-1)


def _forward(
    logits: torch.Tensor, wish: torch.Tensor, weights: torch.Tensor, event: torch.Tensor | None
) -> LinearDivergence:
    q = wish.exp()
    negative_entropy = torch.special.xlogy(q, q).sum(-1)
    logits.sub_(logits.amax(-1, keepdim=True))
    cross = _sum_of_products(logits, q)
    log_normaliser = logits.exp_().sum(-1).log()
    loss = negative_entropy - cross + log_normaliser
    mass = None if event is None else (logits @ event) / log_normaliser.exp()
    logits.mul_((weights / log_normaliser.exp())[:, None])
    if q.ndim == 1:
        logits.addr_(weights, q, alpha=-1)
    else:
        logits.sub_(q.mul_(weights[:, None]))
    return LinearDivergence(loss, mass)


def _reverse(
    logits: torch.Tensor, wish: torch.Tensor, weights: torch.Tensor, event: torch.Tensor | None
) -> LinearDivergence:
    logp = logits.log_softmax(-1)
    p = logp.exp()
    # Where the model gives nothing, −inf − x must not meet 0 in a product: 0·inf is NaN.
    difference = torch.where(p > 0, logp - wish, 0.0)
    loss = _sum_of_products(p, difference)
    mass = None if event is None else p @ event
    torch.mul(p, difference.sub_(loss[:, None]).mul_(weights[:, None]), out=logits)
    return LinearDivergence(loss, mass)


def _jensen_shannon(
    logits: torch.Tensor, wish: torch.Tensor, weights: torch.Tensor, event: torch.Tensor | None
) -> LinearDivergence:
    logp, q = logits.log_softmax(-1), wish.exp()
    p = logp.exp()
    mean = (p + q).div_(2)
    log_mean = torch.where(mean > 0, mean, 1.0).log_()
    from_model = torch.where(p > 0, logp - log_mean, 0.0)
    from_wish = torch.where(q > 0, wish - log_mean, 0.0)
    half = _sum_of_products(p, from_model) / 2
    loss = half + _sum_of_products(q, from_wish) / 2
    mass = None if event is None else p @ event
    from_model.div_(2).sub_(half[:, None]).mul_(weights[:, None])
    torch.mul(p, from_model, out=logits)
    return LinearDivergence(loss, mass)


_GRADIENTS = {"forward_kl": _forward, "reverse_kl": _reverse, "jensen_shannon": _jensen_shannon}
