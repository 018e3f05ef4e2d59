"""The effect of a tilt: how often the event happens, and how probable it is.

Two views of one thing. The hit rate counts generated tokens, as the article does, and carries the
luck of the draw; the event mass is the exact probability at given contexts.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.losses.divergences import forward_kl
from tiltlm.models.precision import full_head, lower_precision, resolve_precision
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.progress import Advance
from tiltlm.records.base import Interval
from tiltlm.records.run import StateRecord
from tiltlm.statistics.intervals import student, wilson
from tiltlm.targets.target import FixedTarget

_ROWS = 64  # positions whose logits are held at once: 64 × 50,257 × 4 bytes = 13 MB


@dataclass(frozen=True)
class HitRate:
    """Generated tokens in an event.

    Attributes:
        interval: Wilson's, over tokens. Tokens of one sequence depend on each other, so it is too
            narrow where they do; ``interval_over_sequences`` is not.
    """

    hits: int
    tokens: int
    rate: float
    interval: Interval
    sequences: int
    interval_over_sequences: Interval | None


def hit_rate(generated: torch.Tensor, event_mask: torch.Tensor) -> HitRate:
    """Count the event's tokens among generated ones.

    Args:
        generated: (sequences, tokens) ids.
        event_mask: (V,) boolean.

    Raises:
        MeasurementError: nothing was generated.

    >>> found = hit_rate(torch.tensor([[0, 1, 1, 0]]), torch.tensor([False, True]))
    >>> found.hits, found.tokens, found.rate
    (2, 4, 0.5)
    """
    inside = event_mask[generated]
    interval = wilson(int(inside.sum()), inside.numel())
    by_sequence = student(inside.float().mean(dim=1).tolist())
    if by_sequence is not None:
        by_sequence = (max(0.0, by_sequence[0]), min(1.0, by_sequence[1]))
    hits, tokens = int(inside.sum()), inside.numel()
    return HitRate(hits, tokens, hits / tokens, interval, inside.shape[0], by_sequence)


@dataclass(frozen=True)
class EventMass:
    """Exact probabilities at given contexts; the unit of replication is one context."""

    mean: float
    interval: Interval | None
    by_position: list[float]
    kl_nats: float | None
    kl_interval_nats: Interval | None
    repeats_last_token: float


@torch.no_grad()
def event_mass(
    model: PreTrainedModel,
    contexts: torch.Tensor,
    target: FixedTarget,
    options: SamplingOptions | None = None,
) -> EventMass:
    """P(event | context) and KL(target ‖ model) at every position of every context.

    Args:
        model: a causal language model.
        contexts: (contexts, length) token ids.
        target: bound to the model's vocabulary.
        options: only ``precision`` is used.

    Raises:
        MeasurementError: the model's probabilities are not finite.
    """
    options = options or SamplingOptions()
    mask, target_logp = target.event_mask.to(model.device), target.log_probs().to(model.device)
    mass, kl, repeats = (torch.empty(contexts.shape) for _ in range(3))
    training = model.training
    model.eval()
    try:
        for i, ids in enumerate(contexts.to(model.device)):
            with full_head(model), lower_precision(model, options.precision):
                logits = model(input_ids=ids[None], use_cache=False).logits[0]
            for rows in torch.arange(len(ids), device=model.device).split(_ROWS):
                logp = logits[rows].float().log_softmax(-1)
                where = rows.cpu()
                mass[i, where] = logp[:, mask].exp().sum(-1).cpu()
                kl[i, where] = forward_kl(target_logp, logp).cpu()
                repeats[i, where] = logp.gather(1, ids[rows, None])[:, 0].exp().cpu()
    finally:
        model.train(training)
    if bool(mass.isnan().any()):
        raise MeasurementError(
            "the model's probabilities are not finite, so no event mass was measured",
            fix="check the model's weights",
        )
    means = mass.mean(dim=1).tolist()
    finite = bool(kl.isfinite().all())
    per_context = kl.mean(dim=1).tolist()
    interval = student(means)
    return EventMass(
        mean=float(mass.mean()),
        interval=None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1])),
        by_position=mass.mean(dim=0).tolist(),
        kl_nats=float(kl.mean()) if finite else None,
        kl_interval_nats=student(per_context) if finite else None,
        repeats_last_token=float(repeats.mean()),
    )


def measure_state(
    model: PreTrainedModel,
    target: FixedTarget,
    prompts: RandomTokenContexts,
    held_out: RandomTokenContexts,
    new_tokens: int,
    options: SamplingOptions,
    advance: Advance | None = None,
) -> tuple[StateRecord, torch.Tensor]:
    """The article's test and the exact event mass.

    Returns:
        the record, and the generated ids (sequences, new_tokens).

    Raises:
        MeasurementError: nothing to measure.
    """
    begin = time.monotonic()
    generated = sample(model, prompts.batch(), new_tokens, options, advance)
    rate = hit_rate(generated, target.event_mask)
    mass = event_mass(model, held_out.batch(), target, options)
    assert math.isfinite(mass.mean)
    record = StateRecord(
        hits=rate.hits,
        tokens=rate.tokens,
        hit_rate=rate.rate,
        interval=rate.interval,
        sequences=rate.sequences,
        interval_over_sequences=rate.interval_over_sequences,
        event_mass=mass.mean,
        event_mass_interval=mass.interval,
        event_mass_by_position=mass.by_position,
        kl_nats=mass.kl_nats,
        kl_interval_nats=mass.kl_interval_nats,
        repeats_last_token=mass.repeats_last_token,
        contexts=held_out.count,
        context_tokens=held_out.length,
        precision=resolve_precision(options.precision),
        seconds=time.monotonic() - begin,
    )
    return record, generated
