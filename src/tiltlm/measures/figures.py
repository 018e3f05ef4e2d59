"""What the figures of a tilt are, in this one place: gap closed, collateral, leakage.

Q is the target, P0 the base, P the model. All figures are ratios of sums over positions, and the
unit of replication is one context, since positions of one context depend on each other.

gap closed
    1 − Σ KL(Q‖P) / Σ KL(Q‖P0): 1 where the model is the target, 0 where it is as far from it as
    the base, negative where it is farther.
collateral
    KL(P0‖P), both conditioned on no event: what should not have moved.
leakage
    KL(P0‖P) at the positions at which the target asks for nothing, such as before a trigger.

`fidelity` sums what realisations need, in torch; `token_metrics` and `effects` keep every position
for ``tiltlm measure``, in numpy. The two sum in different orders, so they agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tiltlm.losses.divergences import precise_kl
from tiltlm.losses.masses import columns_of
from tiltlm.records.base import Estimate, Interval
from tiltlm.statistics.intervals import ratio_estimate, relative_reduction, student

NO_GAP_NATS = 1e-9
"""Below this mean KL(Q‖P0) the base already is the target, and a share of the gap means nothing."""


def collateral_kl(base: torch.Tensor, model: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    """KL(P0‖P) at each position, both conditioned on tokens outside the events.

    Args:
        base: (N, V) log-probabilities.
        model: (N, V) log-probabilities.
        outside: boolean, the tokens in no event: (1, V) where these are the same at every
            position, else (N, V).

    Returns:
        (N,) nats, float64; NaN where the model gives all of these tokens probability 0.
    """
    if len(outside) == 1:
        base, model = columns_of(base, outside[0]), columns_of(model, outside[0])
    else:
        base, model = (torch.where(outside, logp, -torch.inf) for logp in (base, model))
    return precise_kl(base.log_softmax(-1), model.log_softmax(-1))


def mean_over_contexts(sums: Sequence[float], weights: Sequence[float]) -> Estimate | None:
    """Σ sums / Σ weights with its interval over contexts.

    Args:
        sums: Σ weight · figure over the positions of each context.
        weights: Σ weight over the same positions.

    Returns:
        None where no position has any weight.
    """
    return ratio_estimate(sums, weights) if sum(weights) > 0 else None


def share_interval(shares: Sequence[float]) -> Interval | None:
    """Student's 95 % interval for a mean of shares, kept between 0 and 1.

    Args:
        shares: one for each independent context or sequence.

    Returns:
        None where the shares show no spread.

    Raises:
        MeasurementError: there are none.

    >>> [round(end, 2) for end in share_interval([0.0, 0.1])], share_interval([0.5, 0.5])
    ([0.0, 0.69], None)
    """
    interval = student(shares)
    return None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1]))


def gap_closed(
    kl_target_model: Sequence[float], kl_target_base: Sequence[float], weights: Sequence[float]
) -> Estimate | None:
    """The share of the gap between base and target that the model has closed.

    Args:
        kl_target_model: Σ weight · KL(Q‖P) over the positions of each context, nats.
        kl_target_base: Σ weight · KL(Q‖P0), likewise.
        weights: Σ weight.

    Returns:
        None where there is no gap: the mean of KL(Q‖P0) is at most `NO_GAP_NATS`.
    """
    if not sum(kl_target_base) / sum(weights) > NO_GAP_NATS:
        return None
    return relative_reduction(kl_target_model, kl_target_base)
