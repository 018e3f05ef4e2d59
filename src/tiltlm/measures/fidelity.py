"""How close a realisation comes to its target, and what it moved that it should not have.

Every figure is taken at positions of held-out contexts; the unit of replication is one context.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from tiltlm.contexts.reference import ROWS, Reference
from tiltlm.errors import MeasurementError
from tiltlm.losses.divergences import precise_kl
from tiltlm.progress import Advance
from tiltlm.records.base import Estimate, Interval
from tiltlm.statistics.intervals import ratio_estimate, relative_reduction
from tiltlm.targets.target import BoundTarget

ModelLogits = Callable[[int], torch.Tensor]
"""Context number → (length, V) logits of the tilted model at all its positions."""


NO_GAP_NATS = 1e-9
"""Below this mean KL the reference already is the target, and a share of the gap means nothing."""


@dataclass(frozen=True)
class EventMasses:
    """P(event | context) under base, target and model; for several events, of each."""

    event: str
    base: Estimate
    target: Estimate
    model: Estimate


@dataclass(frozen=True)
class Fidelity:
    """What was measured.

    Attributes:
        gap_closed: 1 − KL(Q‖P)/KL(Q‖P0), sums over all positions; 1 is perfect, 0 the base.
        interval: 95 %, over contexts, see `ratio_student`.
        kl_target_model: nats a position.
        kl_target_base: nats a position.
        collateral: KL of base to model, both conditioned on no event; nats a position; None for
            targets without events, and for those that rule all other tokens out.
        leakage: KL(base ‖ model) where the target asks for nothing, such as before a trigger or at
            other prompts; None where it asks everywhere.
        masses: of each event.
        contexts: how many.
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
class _Sums:
    """Sums over the positions of each context."""

    weight: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    base: list[float] = field(default_factory=list)
    collateral: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    off_weight: list[float] = field(default_factory=list)
    masses: list[torch.Tensor] = field(default_factory=list)  # (3, K) each


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
    sums = _Sums()
    for index in range(len(reference.contexts)):
        _measure_context(target, reference, model_logits(index), index, sums)
        if advance:
            advance(index + 1)
    return _summary(target, reference, sums)


@torch.no_grad()
def _measure_context(
    target: BoundTarget, reference: Reference, logits: torch.Tensor, index: int, sums: _Sums
) -> None:
    contexts, states = reference.contexts, reference.states(target, index)
    found = dict.fromkeys(("weight", "model", "base", "collateral", "off", "off_weight"), 0.0)
    masses = torch.zeros(3, len(target.events), dtype=torch.float64)
    for positions in contexts.positions(index).split(ROWS):
        weight = contexts.weights[index][positions].double()
        there = [states[p] for p in positions.tolist()]
        base = reference.logits(index, positions).log_softmax(-1)
        model = logits[positions].float().log_softmax(-1)
        if bool(model.isnan().any()):
            raise MeasurementError(
                "the model's logits are not numbers, so nothing was measured",
                fix="check its weights",
            )
        wish = target.log_probs(base, there)
        found["weight"] += float(weight.sum())
        found["model"] += float((weight * precise_kl(wish, model)).sum())
        found["base"] += float((weight * precise_kl(wish, base)).sum())
        met = target.triggered(there)
        if met is not None:
            # Where it is met the model may rule tokens out, and the KL be infinite.
            off = ~torch.tensor(met)
            found["off"] += float((weight[off] * precise_kl(base[off], model[off])).sum())
            found["off_weight"] += float(weight[off].sum())
        if target.events:
            events = target.event_masks(there)  # (K, N or 1, V)
            for row, logp in enumerate((base, wish.expand_as(base), model)):
                masses[row] += _masses(logp.exp(), events).double() @ weight
            outside = ~events.any(0)
            found["collateral"] += float((weight * collateral_kl(base, model, outside)).sum())
    for name, value in found.items():
        getattr(sums, name).append(value)
    sums.masses.append(masses / max(found["weight"], 1e-300))


def _masses(probabilities: torch.Tensor, events: torch.Tensor) -> torch.Tensor:
    """(K, N) event masses."""
    if events.shape[1] == 1:
        return events[:, 0].to(probabilities) @ probabilities.T
    return torch.where(events, probabilities, 0.0).sum(-1)


def collateral_kl(base: torch.Tensor, model: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    """KL between the two, both conditioned on tokens outside the events, (N,)."""
    if len(outside) == 1:
        base, model = base[:, outside[0]], model[:, outside[0]]
    else:
        base, model = (torch.where(outside, logp, -torch.inf) for logp in (base, model))
    return precise_kl(base.log_softmax(-1), model.log_softmax(-1))


def _summary(target: BoundTarget, reference: Reference, sums: _Sums) -> Fidelity:
    total, weight = sum(sums.base), sum(sums.weight)
    if not total / weight > NO_GAP_NATS:
        raise MeasurementError(
            f"the target equals the reference on these contexts (KL {total / weight:.2g} nats), "
            "so there is no gap to close",
            where=target.text,
            fix="give contexts in which the target asks for something: --contexts text:FILE, say",
        )
    closed = relative_reduction(sums.model, sums.base)
    # A target that rules all others out leaves nothing of them to compare.
    compares_others = bool(target.events) and math.isfinite(sum(sums.collateral))
    masses = torch.stack(sums.masses)  # (contexts, 3, K)
    return Fidelity(
        gap_closed=closed.mean,
        interval=closed.interval,
        kl_target_model=ratio_estimate(sums.model, sums.weight),
        kl_target_base=ratio_estimate(sums.base, sums.weight),
        collateral=ratio_estimate(sums.collateral, sums.weight) if compares_others else None,
        leakage=ratio_estimate(sums.off, sums.off_weight) if sum(sums.off_weight) else None,
        masses=[
            EventMasses(
                event.text,
                *(
                    ratio_estimate(
                        [float(m * w) for m, w in zip(masses[:, row, k], sums.weight, strict=True)],
                        sums.weight,
                    )
                    for row in range(3)
                ),
            )
            for k, event in enumerate(target.events)
        ],
        contexts=len(reference.contexts),
        positions=reference.contexts.tokens,
    )
