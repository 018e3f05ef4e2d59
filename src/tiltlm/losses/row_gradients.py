"""Each divergence of a few rows together with its gradient, which takes the place of the logits.

Takes logits z with p = softmax(z), and the target q. The gradients with respect to z are, for a row
of weight w,

    forward KL(q ‖ p)   w·(p − q)
    reverse KL(p ‖ q)   w·p·(d − Σ p·d)        with d = log p − log q
    Jensen–Shannon      w·p·(e − Σ p·e) / 2    with e = log p − log m and m = (p + q) / 2

Arguments of all three: ``logits`` (rows, V), which are overwritten; ``log_q`` and ``q``, (V,) or
(rows, V), log-probabilities and probabilities of the target; ``weights`` (rows,); ``event``, None
or (V,) zeros and ones. The definitions without gradients stand in `divergences`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class RowDivergences(NamedTuple):
    """What is left of some rows besides the gradient.

    Attributes:
        nats: (rows,) the divergence of each, not weighted.
        event_mass: (rows,) probability of the event under the model; None without an event.
    """

    nats: torch.Tensor
    event_mass: torch.Tensor | None


RowGradient = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], RowDivergences
]
"""One of the three functions: from logits, log_q, q, weights and event."""


def forward_kl_rows(
    logits: torch.Tensor,
    log_q: torch.Tensor,
    q: torch.Tensor,
    weights: torch.Tensor,
    event: torch.Tensor | None,
) -> RowDivergences:
    """KL(target ‖ model) of each row; the weighted gradient stands in place of the logits."""
    logits.sub_(logits.amax(-1, keepdim=True))
    # Where the target gives nothing, no infinity must meet 0 in a product: 0·inf is NaN.
    difference = torch.where(q > 0, log_q - logits, 0.0)
    nats = difference.mul_(q).sum(-1)
    normaliser = logits.exp_().sum(-1)
    mass = None if event is None else (logits @ event) / normaliser
    logits.mul_((weights / normaliser)[:, None])
    if q.ndim == 1:
        logits.addr_(weights, q, alpha=-1)
    else:
        logits.addcmul_(q, weights[:, None], value=-1)
    return RowDivergences(nats + normaliser.log(), mass)


def reverse_kl_rows(
    logits: torch.Tensor,
    log_q: torch.Tensor,
    q: torch.Tensor,
    weights: torch.Tensor,
    event: torch.Tensor | None,
) -> RowDivergences:
    """KL(model ‖ target) of each row; the weighted gradient stands in place of the logits."""
    logp = logits.log_softmax(-1)
    p = logp.exp()
    difference = torch.where(p > 0, logp - log_q, 0.0)
    nats = (p * difference).sum(-1)
    mass = None if event is None else p @ event
    torch.mul(p, difference.sub_(nats[:, None]).mul_(weights[:, None]), out=logits)
    return RowDivergences(nats, mass)


def jensen_shannon_rows(
    logits: torch.Tensor,
    log_q: torch.Tensor,
    q: torch.Tensor,
    weights: torch.Tensor,
    event: torch.Tensor | None,
) -> RowDivergences:
    """Jensen–Shannon of each row; the weighted gradient stands in place of the logits."""
    logp = logits.log_softmax(-1)
    p = logp.exp()
    mean = (p + q).div_(2)
    log_mean = torch.where(mean > 0, mean, 1.0).log_()
    from_model = torch.where(p > 0, logp - log_mean, 0.0)
    from_target = torch.where(q > 0, log_q - log_mean, 0.0)
    half = (p * from_model).sum(-1) / 2
    nats = half + (q * from_target).sum(-1) / 2
    mass = None if event is None else p @ event
    from_model.div_(2).sub_(half[:, None]).mul_(weights[:, None])
    torch.mul(p, from_model, out=logits)
    return RowDivergences(nats, mass)


ROW_GRADIENTS: dict[str, RowGradient] = {
    "forward_kl": forward_kl_rows,
    "reverse_kl": reverse_kl_rows,
    "jensen_shannon": jensen_shannon_rows,
}
"""The three, by the names that `divergences` has for them."""
