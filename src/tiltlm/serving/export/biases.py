"""The biases of a target that matter most, for servers that take no more than so many."""

from __future__ import annotations

import math

import torch

from tiltlm.records.export import BiasRecord
from tiltlm.serving.export.gaps import GapMeter
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.logits_processor import logit_bias


def choose_biases(
    target: BoundTarget, meter: GapMeter, limit: int
) -> tuple[dict[str, float], BiasRecord]:
    """Take the biases that move most probability.

    Args:
        target: bound, and fitted if it needs that.
        meter: at whose contexts the base's probabilities are taken.
        limit: entries at most.

    Returns:
        from token id, as text, to bias in nats, and what these cover.

    Raises:
        TargetError: the target is no fixed list of biases.
    """
    wanted = logit_bias(target)
    masses = _mean_probabilities(meter)
    moved = {key: float(masses[int(key)]) * abs(math.expm1(b)) for key, b in wanted.items()}
    kept = sorted(wanted, key=lambda key: -moved[key])[:limit]
    chosen = {key: wanted[key] for key in sorted(kept, key=int)}
    bias = torch.zeros(target.vocabulary_size)
    bias[torch.tensor([int(key) for key in chosen])] = torch.tensor(list(chosen.values()))
    reference = meter.reference

    def logits(index: int) -> torch.Tensor:
        positions = torch.arange(len(reference.hidden[index]))
        base = reference.logits(index, positions)
        return base + bias.to(base)

    total = sum(float(masses[int(key)]) for key in wanted)
    record = BiasRecord(
        entries=len(chosen),
        wanted=len(wanted),
        limit=limit,
        covered=sum(float(masses[int(key)]) for key in chosen) / total if total else 1.0,
        gap_closed=meter.of_logits(f"with {len(chosen):,} biases", logits),
    )
    return chosen, record


def _mean_probabilities(meter: GapMeter) -> torch.Tensor:
    """(V,) of the base, mean over positions of the contexts, float64."""
    reference = meter.reference
    total: torch.Tensor | None = None
    for index in range(len(reference.contexts)):
        positions = reference.contexts.positions(index)
        masses = reference.logits(index, positions).softmax(-1).double().sum(0).cpu()
        total = masses if total is None else total + masses
    assert total is not None
    return total / reference.contexts.tokens
