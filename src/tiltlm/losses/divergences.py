"""Divergences between token distributions. Knows nothing of events, batches or models.

Arguments of all three divergences: ``target_logp`` and ``model_logp``, both (..., V) normalised
log-probabilities; the target may also be (V,), and is then the same everywhere. They return (...)
nats, unreduced, one value for each position.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from tiltlm.errors import ConfigError, ShapeError


def forward_kl(target_logp: torch.Tensor, model_logp: torch.Tensor) -> torch.Tensor:
    """KL(target ‖ model), in nats; 0 exactly where they agree.

    Infinite where the model gives zero to a token that the target allows; 0·log 0 counts as 0.

    Raises:
        ShapeError: the shapes do not broadcast over the same vocabulary.

    Source: Kullback & Leibler 1951; the article's loss.

    >>> p = torch.tensor([.5, .5]).log(); q = torch.tensor([.25, .75]).log()
    >>> round(forward_kl(p, q).item(), 4)
    0.1438
    """
    _check_shapes(target_logp, model_logp)
    # The target's own term is summed apart: a fixed target has V numbers, not V for each position.
    probability = target_logp.exp()
    negative_entropy: torch.Tensor = torch.special.xlogy(probability, probability).sum(-1)
    possible = probability > 0
    if bool(possible.all()):
        cross = (probability * model_logp).sum(-1)
    elif probability.ndim == 1:
        cross = model_logp[..., possible] @ probability[possible]
    else:
        cross = torch.where(possible, probability * model_logp, 0.0).sum(-1)
    return negative_entropy - cross


def precise_kl(target_logp: torch.Tensor, model_logp: torch.Tensor) -> torch.Tensor:
    """KL(target ‖ model) for measuring: a sum of terms that are all at least 0.

    Σ p·(e^g − 1 − g) with g = log q − log p equals the plain sum where both are normalised, but
    its rounding errors are of second order, which a KL of 1e-6 nats between float32 models needs.

    Args:
        target_logp: (N, V) or (V,) normalised log-probabilities.
        model_logp: (N, V) normalised log-probabilities.

    Returns:
        (N,) nats, float64.

    >>> p = torch.tensor([.5, .5]).log(); q = torch.tensor([.25, .75]).log()
    >>> round(precise_kl(p, q).item(), 4)
    0.1438
    """
    target = target_logp.exp()
    growth = model_logp - target_logp
    # Masks over V tokens take as long as the sum: they are made only where a token is ruled out.
    possible = target > 0 if target.numel() and bool(target.amin() == 0) else None
    if possible is not None:
        growth = torch.where(possible, growth, 0.0)
    growth.clamp_(max=80.0)
    terms = torch.expm1(growth).sub_(growth).mul_(target)
    if possible is not None:
        terms = torch.where(possible, terms, model_logp.exp())
    return terms.sum(-1).double()


def reverse_kl(target_logp: torch.Tensor, model_logp: torch.Tensor) -> torch.Tensor:
    """KL(model ‖ target), in nats; infinite where the target forbids what the model allows.

    Raises:
        ShapeError: the shapes do not broadcast over the same vocabulary.

    >>> p = torch.tensor([.5, .5]).log(); q = torch.tensor([.25, .75]).log()
    >>> round(reverse_kl(p, q).item(), 4)
    0.1308
    """
    _check_shapes(target_logp, model_logp)
    probability = model_logp.exp()
    # Where the model gives nothing, −inf − x must not meet 0 in a product: 0·inf is NaN.
    possible = probability > 0
    difference = torch.where(possible, model_logp, 0.0) - torch.where(possible, target_logp, 0.0)
    return (probability * difference).sum(-1)


def jensen_shannon(target_logp: torch.Tensor, model_logp: torch.Tensor) -> torch.Tensor:
    """½ KL(target ‖ m) + ½ KL(model ‖ m), m their mean; between 0 and log 2 nats.

    Raises:
        ShapeError: the shapes do not broadcast over the same vocabulary.

    Source: Lin 1991.

    >>> p = torch.tensor([1., 0.]).log(); q = torch.tensor([0., 1.]).log()
    >>> round(jensen_shannon(p, q).item(), 4)
    0.6931
    """
    _check_shapes(target_logp, model_logp)
    target, model = target_logp.exp(), model_logp.exp()
    mean = (target + model) / 2
    # Σ p log(p/m): where p is 0 the term is 0, and so is its gradient; log only sees m > 0.
    log_mean = torch.where(mean > 0, mean, 1.0).log()
    from_target = torch.where(target > 0, target * (target_logp - log_mean), 0.0)
    safe_logp = torch.where(model > 0, model_logp, 0.0)
    from_model = torch.where(model > 0, model * (safe_logp - log_mean), 0.0)
    return (from_target.sum(-1) + from_model.sum(-1)) / 2


DIVERGENCES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
}
"""The three, by the names that configs and recipes have for them."""


def divergence_named(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The divergence of a name.

    Args:
        name: a key of `DIVERGENCES`.

    Raises:
        ConfigError: there is none.
    """
    if name not in DIVERGENCES:
        raise ConfigError(
            f"no such divergence: {name!r}", fix="one of " + ", ".join(sorted(DIVERGENCES))
        )
    return DIVERGENCES[name]


def uniform_to_event_kl_nats(event_tokens: int, vocabulary: int) -> float:
    """KL from a uniform target over an event to a uniform model: log(V/K), in nats.

    Args:
        event_tokens: K, how many tokens are in the event.
        vocabulary: V, how many tokens there are.

    >>> round(uniform_to_event_kl_nats(897, 50257), 2)
    4.03
    """
    return math.log(vocabulary / event_tokens)


def _check_shapes(target_logp: torch.Tensor, model_logp: torch.Tensor) -> None:
    same = target_logp.shape == model_logp.shape
    if not same and target_logp.shape != model_logp.shape[-1:]:
        raise ShapeError(
            f"target {tuple(target_logp.shape)} and model {tuple(model_logp.shape)} do not fit",
            fix="give the target the model's shape, or (V,) where it is the same everywhere",
        )
