"""How close a realisation comes to its target, and what it moved that it should not have.

Every figure is taken at positions of held-out contexts; the unit of replication is one context.
What each figure is stands in `figures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import ROWS, Reference
from tiltlm.errors import MeasurementError
from tiltlm.losses.divergences import precise_kl
from tiltlm.losses.masses import event_masses
from tiltlm.measures.figures import collateral_kl, gap_closed, mean_over_contexts
from tiltlm.progress import Advance
from tiltlm.records.base import Estimate, Interval
from tiltlm.statistics.intervals import ratio_estimate
from tiltlm.targets.bound import BoundTarget

ModelLogits = Callable[[int], torch.Tensor]
"""Number of a context → (length, V) logits of the tilted model at all its positions."""


@dataclass(frozen=True)
class EventMasses:
    """P(event | context), mean over positions.

    Attributes:
        event: as it was written.
        base: under the base.
        target: under the exact target.
        model: under the tilted model.
    """

    event: str
    base: Estimate
    target: Estimate
    model: Estimate


@dataclass(frozen=True)
class Fidelity:
    """How close a model comes to its target.

    Attributes:
        gap_closed: 1 − KL(Q‖P)/KL(Q‖P0), sums over all positions; 1 is perfect, 0 the base.
        interval: of the gap closed, 95 %, over contexts, see `ratio_student`.
        kl_target_model: KL(Q‖P), nats a position.
        kl_target_base: KL(Q‖P0), nats a position.
        collateral: KL of base to model, both conditioned on no event; nats a position; None for
            targets without events, and for those that rule all other tokens out.
        leakage: KL(base ‖ model) where the target asks for nothing, such as before a trigger or at
            other prompts; nats a position; None where it asks everywhere.
        masses: of each event.
        contexts: how many; the unit of replication.
        positions: how many.
    """

    gap_closed: float
    interval: Interval | None
    kl_target_model: Estimate
    kl_target_base: Estimate
    collateral: Estimate | None
    leakage: Estimate | None
    masses: list[EventMasses]
    contexts: int
    positions: int


@dataclass
class _ContextSums:
    """Σ weight · figure over the positions of one context; nats where a KL.

    Attributes:
        masses: (3, K) mean event masses under base, target and model, float64.
        weight: Σ weight.
        kl_target_model: KL(Q‖P).
        kl_target_base: KL(Q‖P0).
        collateral: see `collateral_kl`.
        leakage: KL(P0‖P), over positions at which the target asks for nothing.
        leakage_weight: Σ weight over these.
    """

    masses: torch.Tensor
    weight: float = 0.0
    kl_target_model: float = 0.0
    kl_target_base: float = 0.0
    collateral: float = 0.0
    leakage: float = 0.0
    leakage_weight: float = 0.0


def measure_fidelity(
    target: BoundTarget,
    reference: Reference,
    model_logits: ModelLogits,
    advance: Advance | None = None,
) -> Fidelity:
    """Compare a model with its target at every position that counts.

    Args:
        target: bound, and fitted if it needs that.
        reference: over the held-out contexts.
        model_logits: of the tilted model.
        advance: told how many contexts are done.

    Raises:
        MeasurementError: the logits are not finite, or the target equals the reference here.
    """
    by_context = []
    for index in range(len(reference.contexts)):
        by_context.append(_measure_context(target, reference, model_logits(index), index))
        if advance:
            advance(index + 1)
    return _summary(target, reference, by_context)


@torch.no_grad()
def _measure_context(
    target: BoundTarget, reference: Reference, logits: torch.Tensor, index: int
) -> _ContextSums:
    contexts, states = reference.contexts, reference.states(target, index)
    sums = _ContextSums(torch.zeros(3, len(target.events), dtype=torch.float64))
    for positions in contexts.positions(index).split(ROWS):
        weight = contexts.weights[index][positions].double()
        block_states = [states[p] for p in positions.tolist()]
        base = reference.logits(index, positions).log_softmax(-1)
        model = logits[positions].to(base).log_softmax(-1)
        if bool(model[:, 0].isnan().any()):  # One logit that is none makes its whole row NaN.
            raise MeasurementError(
                "the model's logits are not numbers, so nothing was measured",
                fix="check its weights",
            )
        target_logp = target.log_probs(base, block_states)
        sums.weight += float(weight.sum())
        sums.kl_target_model += float((weight * precise_kl(target_logp, model).cpu()).sum())
        sums.kl_target_base += float((weight * precise_kl(target_logp, base).cpu()).sum())
        triggered = target.triggered(block_states)
        if triggered is not None:
            # Only the other positions are compared: where the target asks for something the model
            # may rule tokens out, and a weight of 0 times an infinite KL is not 0.
            off = ~torch.tensor(triggered)
            sums.leakage += float((weight[off] * precise_kl(base[off], model[off]).cpu()).sum())
            sums.leakage_weight += float(weight[off].sum())
        if target.events:
            masks = target.event_masks(block_states, base.device)  # (K, N or 1, V)
            for row, logp in enumerate((base, target_logp.expand_as(base), model)):
                sums.masses[row] += event_masses(logp.exp(), masks).cpu().double() @ weight
            collateral = collateral_kl(base, model, ~masks.any(0)).cpu()
            sums.collateral += float((weight * collateral).sum())
    sums.masses /= max(sums.weight, 1e-300)
    return sums


def _summary(
    target: BoundTarget, reference: Reference, by_context: Sequence[_ContextSums]
) -> Fidelity:
    weights = [sums.weight for sums in by_context]
    kl_target_model = [sums.kl_target_model for sums in by_context]
    kl_target_base = [sums.kl_target_base for sums in by_context]
    closed = gap_closed(kl_target_model, kl_target_base, weights)
    if closed is None:
        raise MeasurementError(
            "the target equals the reference on these contexts "
            f"(KL {sum(kl_target_base) / sum(weights):.2g} nats), so there is no gap to close",
            where=target.text,
            fix="give contexts in which the target asks for something: --contexts text:FILE, say",
        )
    collateral = None
    collateral_sums = [sums.collateral for sums in by_context]
    # A target that rules all other tokens out leaves nothing of them to compare.
    if target.events and math.isfinite(sum(collateral_sums)):
        collateral = mean_over_contexts(collateral_sums, weights)
    return Fidelity(
        gap_closed=closed.mean,
        interval=closed.interval,
        kl_target_model=ratio_estimate(kl_target_model, weights),
        kl_target_base=ratio_estimate(kl_target_base, weights),
        collateral=collateral,
        leakage=mean_over_contexts(
            [sums.leakage for sums in by_context], [sums.leakage_weight for sums in by_context]
        ),
        masses=[
            EventMasses(
                event.text, *(_mean_mass(by_context, row, number, weights) for row in range(3))
            )
            for number, event in enumerate(target.events)
        ],
        contexts=len(reference.contexts),
        positions=reference.contexts.tokens,
    )


def _mean_mass(
    by_context: Sequence[_ContextSums], row: int, number: int, weights: Sequence[float]
) -> Estimate:
    """Mean mass of one event under base (row 0), target (1) or model (2)."""
    masses = [float(sums.masses[row, number] * sums.weight) for sums in by_context]
    return ratio_estimate(masses, weights)
