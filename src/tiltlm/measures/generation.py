"""Does a tilt hold when text is drawn: hit rates at several temperatures and top-p.

Beside each hit rate stands its exact expectation: the event mass, warped in the same way, at the
very contexts that the draws passed through. The difference of the two is luck alone, so it tests
the sampling; what the exact target would have at the same contexts tells how the tilt fares there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.losses.masses import masked_mass
from tiltlm.measures.figures import share_interval
from tiltlm.measures.pair import Pair, Rows
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.sampling_together import sample_together
from tiltlm.progress import Advance
from tiltlm.records.base import Estimate
from tiltlm.records.measure import Drawn

HUNDRED = 100
"""Tokens in each part of a long draw whose hit rate is told by itself."""


def draw_answers(
    pair: Pair,
    prompts: torch.Tensor,
    new_tokens: int,
    options: SamplingOptions,
    advance: Advance | None = None,
) -> torch.Tensor:
    """Let the model go on from prompts, through its target's logits processor where it decodes.

    Args:
        pair: whose model draws.
        prompts: (sequences, length) token ids.
        new_tokens: to draw for each.
        options: how to draw.
        advance: told how many tokens of each sequence are drawn.

    Returns:
        (sequences, new_tokens) token ids.
    """
    return sample(pair.model.model, prompts, new_tokens, options, advance, processor=pair.processor)


def draw_in_ways(
    pair: Pair,
    prompts: torch.Tensor,
    new_tokens: int,
    ways: Sequence[SamplingOptions],
    advance: Advance | None = None,
) -> list[torch.Tensor]:
    """What `draw_answers` draws in each of several ways, in the passes of one.

    Args:
        pair: whose model draws.
        prompts: (sequences, length) token ids.
        new_tokens: to draw for each.
        ways: how to draw; all of one precision.
        advance: told how many tokens of each sequence are drawn.

    Returns:
        (sequences, new_tokens) token ids for each way.
    """
    batches = [prompts] * len(ways)
    return sample_together(pair.model.model, batches, new_tokens, ways, advance, pair.processor)


def measure_drawn(
    pair: Pair,
    prompts: torch.Tensor,
    drawn: torch.Tensor,
    options: SamplingOptions,
    advance: Advance | None = None,
) -> Drawn:
    """Hit rates of drawn tokens, and what they should be.

    Args:
        pair: whose target has an event.
        prompts: (sequences, length).
        drawn: (sequences, tokens), that fit into the model's context together with the prompts.
        options: as they were drawn with.
        advance: told how many sequences have been read.
    """
    sequences = torch.cat([prompts, drawn], 1).tolist()
    first = prompts.shape[1] - 1
    contexts = TokenContexts(sequences, "drawn", [first] * len(sequences))
    hits, *masses = torch.zeros(4, *drawn.shape, dtype=torch.float64)
    done: set[int] = set()
    for rows in pair.read(contexts):
        predicts = rows.following >= 0
        event = _event_mask(pair, rows)
        columns = rows.positions[predicts] - first
        inside = event[torch.arange(len(rows.base)), rows.following.clamp(min=0)]
        hits[rows.context, columns] = inside.cpu()[predicts].double()
        assert rows.target is not None
        for mass, logp in zip(masses, (rows.model, rows.base, rows.target), strict=True):
            warped = options.warpers()(torch.empty(0), logp).softmax(-1)  # type: ignore[arg-type]
            mass[rows.context, columns] = masked_mass(warped, event).cpu()[predicts].double()
        if advance and rows.context not in done:
            done.add(rows.context)
            advance(len(done))
    model, base, target = (mean_over(mass) for mass in masses)
    return Drawn(
        options.temperature,
        options.top_p,
        len(sequences),
        drawn.shape[1],
        hit_rate=mean_over(hits),
        expected=model,
        base=base,
        target=target,
        per_hundred=per_hundred(hits),
    )


def count_hits(pair: Pair, prompts: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Which drawn tokens are in the event of their context.

    Args:
        pair: whose target has an event.
        prompts: (sequences, length).
        drawn: (sequences, tokens).

    Returns:
        (sequences, tokens) float64, 1 for a hit and 0 for none.

    Raises:
        MeasurementError: there is no event.
    """
    target = pair.target
    if target is None or not target.events:
        raise MeasurementError("there is no event whose tokens could be counted")
    hits = torch.zeros(drawn.shape, dtype=torch.float64)
    for number, (prompt, tokens) in enumerate(zip(prompts.tolist(), drawn.tolist(), strict=True)):
        states = target.read([*prompt, *tokens])[len(prompt) - 1 : -1]
        masks = target.event_masks(states).any(0).expand(len(tokens), -1)
        hits[number] = masks[torch.arange(len(tokens)), torch.tensor(tokens)].double()
    return hits


def per_hundred(hits: torch.Tensor) -> list[Estimate]:
    """Hit rate of each hundred tokens.

    Args:
        hits: (sequences, tokens), 0 or 1.

    Returns:
        one estimate a hundred; none for fewer than two hundred tokens.
    """
    if hits.shape[1] < 2 * HUNDRED:
        return []
    return [mean_over(part) for part in hits.split(HUNDRED, 1)]


def mean_over(shares: torch.Tensor) -> Estimate:
    """Mean of shares, with an interval over sequences that is kept between 0 and 1.

    Args:
        shares: (sequences, tokens), each between 0 and 1.
    """
    return Estimate(float(shares.mean()), share_interval(shares.mean(1).tolist()))


def _event_mask(pair: Pair, rows: Rows) -> torch.Tensor:
    """(N, V) boolean: the tokens in any event, at each position of a block."""
    assert pair.target is not None
    assert rows.states is not None
    mask = pair.target.event_masks(rows.states, rows.base.device).any(0)
    return mask.expand_as(rows.base)
