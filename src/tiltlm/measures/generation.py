"""Does it hold when text is drawn: hit rates at several temperatures and top-p.

Beside each hit rate stands its exact expectation: the event mass, warped in the same way, at the
very contexts that were passed through. Their difference is luck alone, so it tests the sampling;
what the exact target would have at the same contexts tells how the tilt fares there.
"""

from __future__ import annotations

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.measures.pair import Pair, Rows
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.progress import Advance
from tiltlm.records.base import Estimate
from tiltlm.records.measure import Drawn
from tiltlm.statistics.intervals import student


def draw_answers(
    pair: Pair,
    prompts: torch.Tensor,
    new_tokens: int,
    options: SamplingOptions,
    advance: Advance | None = None,
) -> torch.Tensor:
    """(sequences, new_tokens) of the model's own, decoded with its target where it decodes."""
    return sample(pair.model.model, prompts, new_tokens, options, advance, processor=pair.processor)


def measure_drawn(
    pair: Pair, prompts: torch.Tensor, drawn: torch.Tensor, options: SamplingOptions
) -> Drawn:
    """Hit rates and what they should be.

    Args:
        pair: whose target has an event.
        prompts: (sequences, length).
        drawn: (sequences, tokens), that fit into the model's context together with the prompts.
        options: as drawn with.
    """
    sequences = torch.cat([prompts, drawn], 1).tolist()
    begins = [prompts.shape[1] - 1] * len(sequences)
    contexts = TokenContexts(sequences, "drawn", begins)
    hits, *masses = torch.zeros(4, *drawn.shape, dtype=torch.float64)
    for rows in pair.read(contexts):
        last = rows.following < 0
        event = _events(pair, rows)
        place = rows.positions[~last] - begins[0]
        inside = event.expand(len(rows.base), -1)[
            torch.arange(len(rows.base)), rows.following.clamp(min=0)
        ]
        hits[rows.context, place] = inside[~last].double()
        assert rows.wish is not None
        for mass, logp in zip(masses, (rows.model, rows.base, rows.wish), strict=True):
            warped = options.warpers()(torch.empty(0), logp).softmax(-1)  # type: ignore[arg-type]
            found = torch.where(event, warped, 0.0).sum(-1)
            mass[rows.context, place] = found[~last].double()
    model, base, wish = (mean_over(mass) for mass in masses)
    return Drawn(
        options.temperature,
        options.top_p,
        len(sequences),
        drawn.shape[1],
        hit_rate=mean_over(hits),
        expected=model,
        base=base,
        target=wish,
        per_hundred=per_hundred(hits),
    )


def count_hits(pair: Pair, prompts: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """(sequences, tokens) 1 where a drawn token is in the event of its context."""
    target = pair.target
    if target is None or not target.events:
        raise MeasurementError("there is no event whose tokens could be counted")
    found = torch.zeros(drawn.shape, dtype=torch.float64)
    for number, (prompt, tokens) in enumerate(zip(prompts.tolist(), drawn.tolist(), strict=True)):
        states = target.read([*prompt, *tokens])[len(prompt) - 1 : -1]
        masks = target.event_masks(states).any(0).expand(len(tokens), -1)
        found[number] = masks[torch.arange(len(tokens)), torch.tensor(tokens)].double()
    return found


def per_hundred(hits: torch.Tensor) -> list[Estimate]:
    """Hit rate of each hundred tokens; [] for less than two hundred."""
    return [mean_over(part) for part in hits.split(100, 1)] if hits.shape[1] >= 200 else []


def mean_over(values: torch.Tensor) -> Estimate:
    """Estimate of (sequences, tokens), with an interval over sequences."""
    means = values.mean(1).tolist()
    interval = student(means)
    if interval is not None:
        interval = (max(0.0, interval[0]), min(1.0, interval[1]))
    return Estimate(float(values.mean()), interval)


def _events(pair: Pair, rows: Rows) -> torch.Tensor:
    assert pair.target is not None
    assert rows.states is not None
    return pair.target.event_masks(rows.states).any(0).to(rows.base.device)
