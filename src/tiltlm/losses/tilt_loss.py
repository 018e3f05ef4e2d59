"""The article's loss, an `nn.Module` with the argument order of `torch.nn.functional.kl_div`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from tiltlm.errors import ConfigError, ShapeError, TargetError
from tiltlm.losses.divergences import divergence_named

Positions = Literal["last", "all"]
"""Where in a context the loss is taken."""

POSITIONS: tuple[Positions, ...] = ("last", "all")
"""All of them."""


class TiltLoss(nn.Module):
    """Divergence between a model and a target, averaged over positions, in nats.

    Log-probabilities come first, probabilities second, as in ``F.kl_div``; with the default
    divergence and ``positions="last"`` it is the article's
    ``F.kl_div(log_probs, Q, reduction="batchmean")``.

    Args:
        divergence: ``forward_kl`` KL(Q‖P), ``reverse_kl`` KL(P‖Q) or ``jensen_shannon``.
        positions: ``last``, where the article measures, or ``all``.

    Raises:
        ConfigError: no such divergence, or no such positions.

    Source: the article's loss.

    >>> loss = TiltLoss()
    >>> log_probs = torch.tensor([[[.25, .75]]]).log()
    >>> round(loss(log_probs, torch.tensor([.5, .5])).item(), 4)
    0.1438
    """

    def __init__(self, divergence: str = "forward_kl", positions: Positions = "last") -> None:
        super().__init__()
        if positions not in POSITIONS:
            raise ConfigError(f"positions is {positions!r}", fix="one of last, all")
        self.divergence, self.positions = divergence, positions
        self._per_position = divergence_named(divergence)

    def forward(self, log_probs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean divergence, a scalar.

        Args:
            log_probs: (batch, position, V) or (batch, V), normalised log-probabilities.
            target: (V,) or the shape of ``log_probs``, probabilities.

        Raises:
            ShapeError: the shapes do not fit.
            TargetError: the two are swapped, or are not what their names say.
        """
        if log_probs.ndim not in (2, 3):
            raise ShapeError(
                f"log_probs has shape {tuple(log_probs.shape)}",
                fix="(batch, position, V) or (batch, V)",
            )
        check_order(log_probs, target)
        if self.positions == "last" and log_probs.ndim == 3:
            log_probs = log_probs[:, -1]
            target = target[:, -1] if target.ndim == 3 else target
        return self._per_position(target.log(), log_probs).mean()

    def extra_repr(self) -> str:
        """The settings, as torch shows them in the text of a module."""
        return f"{self.divergence}, positions={self.positions}"


def check_order(log_probs: torch.Tensor, target: torch.Tensor) -> None:
    """Refuse arguments of `TiltLoss` that are swapped or of the wrong kind.

    A row of log-probabilities is at most 0 and its exponentials sum to 1; a row of probabilities
    is at least 0 and sums to 1. A row of V > 1 entries cannot be both. The first row of each
    argument is looked at.

    Args:
        log_probs: (..., V) what should be log-probabilities.
        target: (..., V) what should be probabilities.

    Raises:
        TargetError: says which argument is what instead.
    """
    first = log_probs.detach().reshape(-1, log_probs.shape[-1])[0].float()
    second = target.detach().reshape(-1, target.shape[-1])[0].float()
    if not _is_logp(first):
        instead = "probabilities" if _is_probability(first) else "not normalised"
        raise TargetError(
            f"the first argument should be log-probabilities; it is {instead}",
            fix="log-probabilities first, probabilities second, as in F.kl_div; "
            "take logits.log_softmax(-1)",
        )
    if not _is_probability(second):
        instead = "log-probabilities" if _is_logp(second) else "no distribution"
        raise TargetError(
            f"the second argument should be probabilities; it is {instead}",
            fix="log-probabilities first, probabilities second, as in F.kl_div",
        )


def _is_probability(row: torch.Tensor) -> bool:
    return bool((row >= 0).all()) and abs(float(row.sum()) - 1) < 1e-2


def _is_logp(row: torch.Tensor) -> bool:
    if row.isnan().any():
        return True  # the model diverged, which is not a matter of the arguments' order
    return bool((row <= 1e-3).all()) and abs(float(row.logsumexp(0))) < 1e-2
