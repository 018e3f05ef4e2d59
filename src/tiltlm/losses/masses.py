"""Event mass: how much probability lies on a set of tokens. Knows tensors, nothing of events.

One quantity, in the orders of operation that its users need. They agree to rounding and not to
the bit, so a figure should stay with the function that it has always been made with:

- `class_masses`, a matrix product, for many sets that are the same at every position;
- `picked_mass`, for one such set: it takes the exponential of that set's tokens alone;
- `masked_mass`, a sum over a mask, for a set that may change from position to position;
- `event_masses`, for several sets: a matrix product where they do not change, else masked sums;
- `split_log_masses`, logarithms of a set's mass and of everything else's, neither of them one
  minus the other, so that log-odds stay exact where a mass is near 0 or 1.
"""

from __future__ import annotations

import torch


def class_masses(log_probs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Mass of each of several classes that are the same at every position.

    Args:
        log_probs: (N, V) normalised log-probabilities.
        classes: (A, V) boolean, which tokens are in each class.

    Returns:
        (N, A) probabilities, in the precision of ``log_probs``.

    >>> log_probs = torch.tensor([[0.5, 0.25, 0.25]]).log()
    >>> class_masses(log_probs, torch.tensor([[True, True, False], [False, False, True]]))
    tensor([[0.7500, 0.2500]])
    """
    return log_probs.exp() @ classes.T.to(log_probs)


def columns_of(log_probs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of one set of tokens that is the same at every position.

    By the numbers of its tokens, which takes half the time of the mask itself.

    Args:
        log_probs: (N, V).
        mask: (V,) boolean, of K tokens.

    Returns:
        (N, K).

    >>> columns_of(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([True, False, True]))
    tensor([[1., 3.]])
    """
    return log_probs.index_select(1, mask.nonzero()[:, 0].to(log_probs.device))


def picked_mass(
    log_probs: torch.Tensor, mask: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Mass of one set of tokens that is the same at every position.

    Args:
        log_probs: (N, V) normalised log-probabilities.
        mask: (V,) boolean.
        dtype: to compute in; None for that of ``log_probs``.

    Returns:
        (N,) probabilities, in that precision.

    >>> picked_mass(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([True, True, False]))
    tensor([0.7500])
    """
    return columns_of(log_probs, mask).to(dtype or log_probs.dtype).exp().sum(-1)


def masked_mass(probabilities: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mass of a set of tokens that may be another at each position.

    Args:
        probabilities: (N, V).
        mask: (…, N or 1, V) boolean.

    Returns:
        (…, N) probabilities, in the precision of ``probabilities``.

    >>> mask = torch.tensor([[True, False, False], [False, True, True]])
    >>> masked_mass(torch.tensor([[0.5, 0.25, 0.25]]), mask)
    tensor([0.5000, 0.5000])
    """
    return torch.where(mask, probabilities, 0.0).sum(-1)


def event_masses(probabilities: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mass of each of several events, whose tokens may depend on the context.

    Args:
        probabilities: (N, V).
        masks: (K, 1, V) boolean where no event depends on the context, else (K, N, V).

    Returns:
        (K, N) probabilities, in the precision of ``probabilities``.

    >>> probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    >>> event_masses(probabilities, torch.tensor([[[True, False, False], [False, True, True]]]))
    tensor([[0.5000, 0.5000]])
    """
    if masks.shape[1] == 1:
        return masks[:, 0].to(probabilities) @ probabilities.T
    return masked_mass(probabilities, masks)


def split_log_masses(
    log_probs: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms of the mass inside an event and of the mass outside it, each summed by itself.

    Args:
        log_probs: (N, V) normalised log-probabilities.
        mask: (1, V) boolean where the event is the same at every position, else (N, V).

    Returns:
        (N,) and (N,) in nats; −inf where a side has no token. Their difference is the event's
        log-odds.

    >>> inside, outside = split_log_masses(
    ...     torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[True, True, False]])
    ... )
    >>> round((inside - outside).exp().item(), 4)
    3.0
    """
    if len(mask) == 1:
        sides = (columns_of(log_probs, mask[0]), columns_of(log_probs, ~mask[0]))
        return sides[0].logsumexp(-1), sides[1].logsumexp(-1)
    inside = torch.where(mask, log_probs, -torch.inf).logsumexp(-1)
    return inside, torch.where(mask, -torch.inf, log_probs).logsumexp(-1)
