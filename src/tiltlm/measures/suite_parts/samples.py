"""Drawn text: hit rates beside their expectation, and how varied the samples are."""

from __future__ import annotations

import torch

from tiltlm.contexts import evaluation
from tiltlm.measures.diversity import diversity_of
from tiltlm.measures.generation import (
    count_hits,
    draw_answers,
    draw_in_ways,
    mean_over,
    measure_drawn,
    per_hundred,
)
from tiltlm.measures.suite_parts.work import SuiteWork
from tiltlm.models.sampling import SamplingOptions
from tiltlm.statistics.comparisons import compare_samples

DRAWS = ((1.0, 1.0), (0.7, 1.0), (1.0, 0.9))
"""Temperature and top-p of each way of drawing; samples are compared for the first."""


def measure_samples(work: SuiteWork) -> None:
    """Draw from the model in several ways, and compare with samples of the base's own."""
    if not work.sizes.draws:
        work.missing("samples", "not in this suite")
        return
    own = torch.stack(work.own_samples.sequences)
    count = min(work.sizes.draws, len(own))
    prompts, of_base = own[:count, :1], own[:count, 1 : 1 + work.sizes.drawn]
    new_tokens = of_base.shape[1]
    if not new_tokens:
        work.missing("samples", "own samples are one token long")
        return
    # The base's samples were drawn from this seed: other draws must be independent of them.
    seed = work.seed + evaluation.SEED + 1
    ways = [SamplingOptions(t, 0, top_p, seed + n) for n, (t, top_p) in enumerate(DRAWS)]
    work.progress.begin("drawing", new_tokens)
    drawn = draw_in_ways(work.pair, prompts, new_tokens, ways, work.progress.advance)
    if work.has_event:
        for options, of_model in zip(ways, drawn, strict=True):
            way = f"at {options.temperature}, top-p {options.top_p}"
            work.progress.begin(f"reading draws {way}", count)
            work.measured.drawn.append(
                measure_drawn(work.pair, prompts, of_model, options, work.progress.advance)
            )
    _compare_samples(work, prompts, of_base, drawn[0])
    if work.sizes.on:
        _draw_far_on(work)


def _compare_samples(
    work: SuiteWork, prompts: torch.Tensor, of_base: torch.Tensor, of_model: torch.Tensor
) -> None:
    """Compare diversity, and the hit rate where there is an event.

    Args:
        work: where comparisons go.
        prompts: (sequences, 1).
        of_base: (sequences, tokens) drawn from the base.
        of_model: (sequences, tokens) drawn from the model.
    """
    before, after = diversity_of(of_base), diversity_of(of_model)
    for name, values in before.items():
        work.compare(compare_samples(f"samples, {name}", "sample", values, after[name], worth=0.05))
    if work.has_event:
        rates = (
            count_hits(work.pair, prompts, tokens).mean(1).tolist()
            for tokens in (of_base, of_model)
        )
        work.compare(compare_samples("samples, hit rate", "sample", *rates, worth=0.01))


def _draw_far_on(work: SuiteWork) -> None:
    """Draw long sequences, whose hit rate is told for each hundred tokens."""
    prompts = torch.stack(work.own_samples.sequences)[: work.sizes.on, :1]
    options = SamplingOptions(seed=work.seed + evaluation.SEED + 100, precision="auto")
    work.progress.begin("drawing far on", work.sizes.on_tokens)
    drawn = draw_answers(work.pair, prompts, work.sizes.on_tokens, options, work.progress.advance)
    if work.has_event:
        hits = count_hits(work.pair, prompts, drawn)
        work.measured.on = per_hundred(hits) or [mean_over(hits)]
