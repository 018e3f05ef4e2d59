"""The effect of a tilt: how often the event happens, and how probable it is.

Two views of one thing. The hit rate counts generated tokens, as the article does, and carries the
luck of the draw; the event mass is the exact probability at given contexts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.losses.divergences import forward_kl
from tiltlm.losses.masses import picked_mass
from tiltlm.measures.figures import share_interval
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.head import full_head
from tiltlm.models.precision import lower_precision, resolve_precision
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import input_device
from tiltlm.progress import Advance, NoProgress, Progress
from tiltlm.records.base import Interval
from tiltlm.records.run import StateRecord
from tiltlm.statistics.intervals import student, wilson
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.bound import FixedTarget

_ROWS = 64
"""Positions whose log-probabilities are held at once: 64 × 50,257 × 4 bytes = 13 MB."""


@dataclass(frozen=True)
class HitRate:
    """How many generated tokens are in an event.

    Attributes:
        hits: tokens in the event.
        tokens: all generated tokens.
        rate: hits / tokens.
        interval: of the rate, 95 %, Wilson's over tokens. Tokens of one sequence depend on each
            other, so it is too narrow where they do; ``interval_over_sequences`` is not.
        sequences: that the tokens come from; the unit of replication.
        interval_over_sequences: 95 %, Student's, one rate a sequence; None where all are equal.
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

    >>> rate = hit_rate(torch.tensor([[0, 1, 1, 0]]), torch.tensor([False, True]))
    >>> rate.hits, rate.tokens, rate.rate
    (2, 4, 0.5)
    """
    inside = event_mask[generated]
    hits, tokens = int(inside.sum()), inside.numel()
    interval = wilson(hits, tokens)
    by_sequence = share_interval(inside.float().mean(dim=1).tolist())
    return HitRate(hits, tokens, hits / tokens, interval, inside.shape[0], by_sequence)


@dataclass(frozen=True)
class EventMass:
    """Exact probabilities at given contexts; the unit of replication is one context.

    Attributes:
        mean: P(event | context), over all positions.
        interval: of the mean, 95 %, Student's over contexts; None where they show no spread.
        by_position: P(event | context) at each position, mean over contexts.
        kl_nats: KL(target ‖ model), mean over all positions; None where it is infinite.
        kl_interval_nats: of that, as ``interval``.
        repeats_last_token: probability given to the token just read, mean over all positions.
    """

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
    advance: Advance | None = None,
) -> EventMass:
    """P(event | context) and KL(target ‖ model) at every position of every context.

    Args:
        model: a causal language model.
        contexts: (contexts, length) token ids.
        target: bound to the model's vocabulary.
        options: only ``precision`` is used.
        advance: told how many contexts have been read.

    Raises:
        MeasurementError: the model's probabilities are not finite.
    """
    options = options or SamplingOptions()
    device = input_device(model)
    mask, target_logp = target.event_mask.to(device), target.log_probs().to(device)
    mass, kl, repeats = (torch.empty(contexts.shape) for _ in range(3))
    with evaluating(model):
        for i, ids in enumerate(contexts.to(device)):
            with full_head(model), lower_precision(model, options.precision):
                logits = model(input_ids=ids[None], use_cache=False).logits[0].to(device)
            for rows in torch.arange(len(ids), device=device).split(_ROWS):
                logp = logits[rows].float().log_softmax(-1)
                columns = rows.cpu()
                mass[i, columns] = picked_mass(logp, mask).cpu()
                kl[i, columns] = forward_kl(target_logp, logp).cpu()
                repeats[i, columns] = logp.gather(1, ids[rows, None])[:, 0].exp().cpu()
            if advance:
                advance(i + 1)
    if bool(mass.isnan().any()):
        raise MeasurementError(
            "the model's probabilities are not finite, so no event mass was measured",
            fix="check the model's weights",
        )
    finite = bool(kl.isfinite().all())
    per_context = kl.mean(dim=1).tolist()
    return EventMass(
        mean=float(mass.mean()),
        interval=share_interval(mass.mean(dim=1).tolist()),
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
    *,
    when: str,
    progress: Progress | None = None,
) -> tuple[StateRecord, torch.Tensor]:
    """The article's test, which counts generated tokens, and the exact event mass.

    Args:
        model: a causal language model, before or after training.
        target: bound to the model's vocabulary.
        prompts: to generate from.
        held_out: contexts at which the event mass is read.
        new_tokens: to generate from each prompt.
        options: how tokens are drawn; the precision is that of both measurements.
        when: ``before`` or ``after`` training, for the titles of the parts.
        progress: told of both measurements.

    Returns:
        the record, and the generated ids (sequences, new_tokens).

    Raises:
        MeasurementError: there is nothing to measure, or probabilities are not finite.
    """
    watch, progress = Stopwatch(), progress or NoProgress()
    progress.begin(f"generating {when} training", new_tokens)
    generated = sample(model, prompts.batch(), new_tokens, options, progress.advance)
    rate = hit_rate(generated, target.event_mask)
    progress.begin(f"reading {when} training", held_out.count)
    mass = event_mass(model, held_out.batch(), target, options, progress.advance)
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
        precision=resolve_precision(options.precision, model.device),
        seconds=watch.total,
    )
    return record, generated
