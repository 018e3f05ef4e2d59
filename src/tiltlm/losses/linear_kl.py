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


@dataclass(frozen=True)
class OfHead:
    """A wish made of the head's own logits, as they are without ``low_rank``.

    Where a reference has the same hidden states and the same head under an adapter, its product
    is made anyway, and need not be made twice.

    Attributes:
        make: from rows and those logits (rows, V), which it may change, to the wish's logits.
    """

    make: Callable[[slice, torch.Tensor], torch.Tensor]


Wish = torch.Tensor | Callable[[slice], torch.Tensor] | OfHead
"""Log-probabilities (V,), the same everywhere; or a function from rows to logits, (rows, V)."""


BLOCK_NUMBERS = 1 << 24
"""Logits held at once: 64 MiB in float32, 333 rows of GPT-2's vocabulary.

With half as many rows the product with the head is a quarter slower: it is packed anew each time.
"""


_CACHED_ROWS = 4
"""A processor takes so few rows of a block through all that is done with them, in its cache."""


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
        wish: what to come close to, see `Wish`; it gets no gradient. A function's logits are
            normalised here.
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
    make = torch.empty if count else torch.zeros  # the first block is written, not added
    gradients = [
        make(t.shape, dtype=exact, device=t.device) if t is not None and need else None
        for t, need in zip(tensors, needed, strict=False)
    ]
    losses = torch.zeros(count, dtype=exact, device=hidden.device)
    mass = torch.zeros(count if how.event is not None else 0, dtype=exact, device=hidden.device)
    event = None if how.event is None else how.event.to(hidden.device, exact)
    fixed = None
    if isinstance(how.wish, torch.Tensor):
        fixed = _Rows(how.wish.to(hidden.device, exact))
    weights = how.row_weights.to(exact)
    rows = max(16, BLOCK_NUMBERS // size)
    memory = hidden.new_empty(min(rows, count), size)  # fresh pages for each block cost a fifth
    for first in range(0, count, rows):
        at = slice(first, min(first + rows, count))
        logits = torch.mm(hidden[at], weight.T, out=memory[: at.stop - first]).to(exact)
        asked = fixed or _Rows(_asked(how, at, logits, bias).to(hidden.device, exact))
        if inputs is not None and columns is not None:
            logits += (inputs[at] @ columns.T).to(exact)
        if bias is not None:
            logits += bias.to(exact)
        slope = None
        if how.cap is not None:
            logits.div_(how.cap).tanh_()
            slope = 1 - logits.square()
            logits.mul_(how.cap)
        losses[at], found = _of_rows(logits, asked, weights[at], how.divergence, event)
        if found is not None:
            mass[at] = found
        if slope is not None:
            logits.mul_(slope)
        _spread(logits.to(weight.dtype), at, tensors, gradients)
    return (losses * weights).sum(), mass, gradients


def _asked(how: _How, at: slice, product: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The wish's logits at some rows, of which ``product`` is the head's, before anything else."""
    if not isinstance(how.wish, OfHead):
        return how.wish(at)  # type: ignore[operator]
    own = product.clone() if bias is None else product + bias
    return how.wish.make(at, own if how.cap is None else how.cap * torch.tanh(own / how.cap))


class _Rows:
    """The wish at the rows of a block, normalised as it is read."""

    def __init__(self, wish: torch.Tensor) -> None:
        self._wish, self._fixed = wish, (wish, wish.exp()) if wish.ndim == 1 else None

    def at(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and probabilities, (V,) or (rows, V)."""
        if self._fixed is not None:
            return self._fixed
        log_q = self._wish[rows].log_softmax(-1)
        return log_q, log_q.exp()


def _of_rows(
    logits: torch.Tensor,
    wish: _Rows,
    weights: torch.Tensor,
    divergence: str,
    event: torch.Tensor | None,
) -> LinearDivergence:
    """Each row's divergence and event mass; the weighted gradient stands in place of the logits."""
    step = _CACHED_ROWS if logits.device.type == "cpu" else len(logits)
    found = [
        _GRADIENTS[divergence](logits[rows], *wish.at(rows), weights[rows], event)
        for rows in (slice(first, first + step) for first in range(0, len(logits), step))
    ]
    mass = None if event is None else torch.cat([part.event_mass for part in found])  # type: ignore[misc]
    return LinearDivergence(torch.cat([part.loss for part in found]), mass)


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
    """Add to the sum; the first product is written over memory that holds nothing yet."""
    if total.dtype == slopes.dtype:
        torch.addmm(total, slopes.T, rows, beta=0 if first else 1, out=total)
    else:
        product = slopes.T @ rows
        total.copy_(product if first else total + product)


def _forward(
    logits: torch.Tensor,
    log_q: torch.Tensor,
    q: torch.Tensor,
    weights: torch.Tensor,
    event: torch.Tensor | None,
) -> LinearDivergence:
    logits.sub_(logits.amax(-1, keepdim=True))
    # Where the wish gives nothing, −inf − x must not meet 0 in a product: 0·inf is NaN.
    difference = log_q.masked_fill(q == 0, 0.0) - logits
    loss = difference.mul_(q).sum(-1)
    normaliser = logits.exp_().sum(-1)
    mass = None if event is None else (logits @ event) / normaliser
    logits.mul_((weights / normaliser)[:, None])
    if q.ndim == 1:
        logits.addr_(weights, q, alpha=-1)
    else:
        logits.addcmul_(q, weights[:, None], value=-1)
    return LinearDivergence(loss + normaliser.log(), mass)


def _reverse(
    logits: torch.Tensor,
    log_q: torch.Tensor,
    q: torch.Tensor,
    weights: torch.Tensor,
    event: torch.Tensor | None,
) -> LinearDivergence:
    logp = logits.log_softmax(-1)
    p = logp.exp()
    difference = torch.where(p > 0, logp - log_q, 0.0)
    loss = (p * difference).sum(-1)
    mass = None if event is None else p @ event
    torch.mul(p, difference.sub_(loss[:, None]).mul_(weights[:, None]), out=logits)
    return LinearDivergence(loss, mass)


def _jensen_shannon(
    logits: torch.Tensor,
    log_q: torch.Tensor,
    q: torch.Tensor,
    weights: torch.Tensor,
    event: torch.Tensor | None,
) -> LinearDivergence:
    logp = logits.log_softmax(-1)
    p = logp.exp()
    mean = (p + q).div_(2)
    log_mean = torch.where(mean > 0, mean, 1.0).log_()
    from_model = torch.where(p > 0, logp - log_mean, 0.0)
    from_wish = torch.where(q > 0, log_q - log_mean, 0.0)
    half = (p * from_model).sum(-1) / 2
    loss = half + (q * from_wish).sum(-1) / 2
    mass = None if event is None else p @ event
    from_model.div_(2).sub_(half[:, None]).mul_(weights[:, None])
    torch.mul(p, from_model, out=logits)
    return LinearDivergence(loss, mass)


_GRADIENTS = {"forward_kl": _forward, "reverse_kl": _reverse, "jensen_shannon": _jensen_shannon}
