"""Everything that is measured of a model, in order, and what was not, with the reason.

How much is in `found.Sizes`, and what comes of it in `found.Measured`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from tiltlm.contexts import evaluation as places
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError, ModelError
from tiltlm.measures.diversity import diversity_of
from tiltlm.measures.effects import by_position, effect_of, strength_parts
from tiltlm.measures.generation import (
    count_hits,
    draw_answers,
    mean_over,
    measure_drawn,
    per_hundred,
)
from tiltlm.measures.harness import compare_tasks
from tiltlm.measures.minimal_pairs import compare_margins, find_pair_sets, margins_of, pooled
from tiltlm.measures.pair import Pair
from tiltlm.measures.persistence import after_fine_tuning, after_int8, after_merging
from tiltlm.measures.suite_sizes import SHOWN_ITEMS, Measured, Sizes, Sources
from tiltlm.measures.token_changes import heat_of, token_changes_of
from tiltlm.measures.token_metrics import TokenMetrics, read_token_metrics
from tiltlm.models.sampling import SamplingOptions
from tiltlm.models.structure import context_length
from tiltlm.progress import NoProgress, Progress
from tiltlm.records.measure import Comparison
from tiltlm.statistics.comparisons import adjust, compare_ratio, compare_samples, compare_shift

DRAWS = ((1.0, 1.0), (0.7, 1.0), (1.0, 0.9))
"""Temperature and top-p."""


def measure_pair(
    pair: Pair,
    sizes: Sizes,
    sources: Sources,
    *,
    seed: int = 0,
    key: str | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Run the suite.

    Args:
        pair: model and base; effects need its target's event.
        sizes: how much.
        sources: local files.
        seed: of contexts and draws.
        key: of the base's weights, to keep its samples by.
        progress: told of progress.

    Raises:
        ConfigError: a file is damaged, or nothing of what was asked for can be measured.
    """
    return _Suite(pair, sizes, sources, seed, key, progress or NoProgress()).run()


class _Suite:
    def __init__(
        self,
        pair: Pair,
        sizes: Sizes,
        sources: Sources,
        seed: int,
        key: str | None,
        progress: Progress,
    ) -> None:
        self.pair, self.sizes, self.seed, self.key = pair, sizes, seed, key
        self.progress, self.found, self.sources = progress, Measured(), sources
        self.text = None if sources.text is None else places.read_text(sources.text)
        self.sets = [] if sources.pairs is None else find_pair_sets(sources.pairs)
        if sources.pairs is not None and not self.sets:
            raise ConfigError(
                "no pairs here: blimp/*.jsonl, crows_pairs.csv, winobias/pro_type*.txt",
                where=str(sources.pairs),
            )
        if self.text is None:
            self.found.missing["bits per byte, far positions"] = "no text given (--text FILE)"
        if not self.sets:
            self.found.missing["minimal pairs"] = "no folder given (--pairs DIR)"
        self.event = pair.target is not None and bool(pair.target.events)
        if not self.event:
            self.found.missing["effect, strength, hit rates"] = (
                "no target given or found in a label, or it has no event"
            )

    def run(self) -> Measured:
        self._timed("contexts", self._contexts)
        self._timed("samples", self._samples)
        self._timed("pairs", self._pairs)
        self._timed("tasks", self._tasks)
        self._timed("persistence", self._persistence)
        self.found.comparisons = adjust(self.found.comparisons)
        return self.found

    def _timed(self, name: str, part: Callable[[], None]) -> None:
        begin = time.monotonic()
        part()
        self.found.seconds[name] = time.monotonic() - begin

    # -- contexts -----------------------------------------------------------------------------

    def _contexts(self) -> None:
        base, sizes, seed = self.pair.base, self.sizes, self.seed
        self.progress.begin("the base's own samples", sizes.contexts)
        self.own = places.own(
            base, sizes.contexts, sizes.length, seed, self.key, self.progress.advance
        )
        self.progress.begin("answers to requests", 1)
        chats = places.chats(base, min(sizes.contexts, 16), sizes.length, seed, self.key)
        kinds = [
            self.own,
            places.random_tokens(base, sizes.contexts // 2, sizes.length, seed),
        ]
        if chats is None:
            self.found.missing["chat"] = (
                "the model reads too few tokens for a request and an answer"
            )
        else:
            kinds.append(chats)
        self.clean = None
        if self.text is not None:
            self.clean = places.real_text(base, self.text, 4 * sizes.contexts, sizes.length)
            kinds.append(_first(self.clean, sizes.contexts))
        for contexts in kinds:
            seen = self._observe(contexts)
            self._effect(seen)
            edges = _edges(max(len(ids) for ids in contexts.sequences))
            self.found.buckets[contexts.kind] = by_position(seen, edges)
            if contexts is self.own:
                self.found.moved = token_changes_of(seen, self.pair.vocabulary)
                self.found.heat = heat_of(seen, self.pair.vocabulary)
            if contexts.kind == "text":
                self._bits_per_byte(seen)
                self.found.heat = heat_of(seen, self.pair.vocabulary)
        self._far()
        spoken = places.languages(base)
        for index, name in enumerate(spoken.kind.split(", ")):
            one = spoken.choose([index])
            one.kind = name
            self.found.languages.append(effect_of(read_token_metrics(self.pair, one)))

    def _far(self) -> None:
        limit = context_length(self.pair.base.model)
        if self.text is None or not self.sizes.far:
            return
        far = places.real_text(self.pair.base, self.text, self.sizes.far, self.sizes.far_length)
        far.kind = "text, far on"
        if limit is not None and limit < self.sizes.far_length:
            reason = f"the model reads at most {limit} tokens at once"
            self.found.missing[f"positions up to {self.sizes.far_length}"] = reason
        seen = self._observe(far)
        self.found.effects.append(effect_of(seen))
        self.found.buckets[far.kind] = by_position(
            seen, _edges(max(len(ids) for ids in far.sequences))
        )

    def _observe(self, contexts: TokenContexts) -> TokenMetrics:
        self.progress.begin(f"reading: {contexts.kind}", len(contexts))
        return read_token_metrics(self.pair, contexts, self.progress.advance)

    def _effect(self, seen: TokenMetrics) -> None:
        self.found.effects.append(effect_of(seen))
        if self.event:
            name = f"strength, {seen.contexts.kind}"
            tops, bottoms = strength_parts(seen)
            self._add(compare_shift(name, "context", tops, bottoms, worth=0.1))

    def _bits_per_byte(self, seen: TokenMetrics) -> None:
        lengths = [len(token) for token in self.pair.vocabulary.tokens]
        bytes_ = [float(sum(lengths[t] for t in row.tolist() if t >= 0)) for row in seen.following]
        bits = {
            who: [-nats / 0.6931471805599453 for nats in seen.sums(f"next_{who}")]
            for who in ("base", "model")
        }
        per_piece = [
            (b / n, m / n) for b, m, n in zip(bits["base"], bits["model"], bytes_, strict=True)
        ]
        self.found.items["bits per byte of each piece"] = per_piece[:SHOWN_ITEMS]
        self._add(
            compare_ratio(
                "bits per byte of text", "piece", bits["base"], bits["model"], bytes_, worth=0.01
            )
        )

    def _add(self, comparison: Comparison) -> None:
        self.found.comparisons.append(comparison)

    # -- samples ------------------------------------------------------------------------------

    def _samples(self) -> None:
        sizes, own = self.sizes, torch.stack(self.own.sequences)
        if not sizes.draws:
            self.found.missing["samples"] = "not in this suite"
            return
        count = min(sizes.draws, len(own))
        prompts, base = own[:count, :1], own[:count, 1 : 1 + sizes.drawn]
        if not base.shape[1]:
            self.found.missing["samples"] = "own samples are one token long"
            return
        for number, (temperature, top_p) in enumerate(DRAWS):
            # The base's samples were drawn from this seed: other draws must be independent.
            options = SamplingOptions(temperature, 0, top_p, self.seed + places.SEED + 1 + number)
            name = f"drawing at {temperature}, top-p {top_p}"
            self.progress.begin(name, base.shape[1])
            drawn = draw_answers(self.pair, prompts, base.shape[1], options, self.progress.advance)
            if self.event:
                self.found.drawn.append(measure_drawn(self.pair, prompts, drawn, options))
            if number == 0:
                self._compare_samples(prompts, base, drawn)
        if sizes.on:
            self._on()

    def _compare_samples(
        self, prompts: torch.Tensor, base: torch.Tensor, drawn: torch.Tensor
    ) -> None:
        before, after = diversity_of(base), diversity_of(drawn)
        for name, values in before.items():
            self._add(
                compare_samples(f"samples, {name}", "sample", values, after[name], worth=0.05)
            )
        if self.event:
            rates = [
                count_hits(self.pair, prompts, tokens).mean(1).tolist() for tokens in (base, drawn)
            ]
            self._add(compare_samples("samples, hit rate", "sample", *rates, worth=0.01))

    def _on(self) -> None:
        prompts = torch.stack(self.own.sequences)[: self.sizes.on, :1]
        options = SamplingOptions(seed=self.seed + places.SEED + 100, precision="auto")
        self.progress.begin("drawing far on", self.sizes.on_tokens)
        drawn = draw_answers(
            self.pair, prompts, self.sizes.on_tokens, options, self.progress.advance
        )
        if self.event:
            hits = count_hits(self.pair, prompts, drawn)
            self.found.on = per_hundred(hits) or [mean_over(hits)]

    # -- pairs and persistence ----------------------------------------------------------------

    def _pairs(self) -> None:
        read = []
        for pairs in self.sets:
            some = pairs.some(self.sizes.pairs)
            self.progress.begin(pairs.name, 2 * len(some.pairs))
            read.append((some, margins_of(self.pair, some, self.progress.advance)))
        for name, margins in pooled(read):
            items = list(zip(margins.base.tolist(), margins.model.tolist(), strict=True))
            self.found.items[f"{name}: margins, nats"] = items[:SHOWN_ITEMS]
            self.found.comparisons += compare_margins(name, margins, None)
        for some, margins in read:
            self.found.comparisons += compare_margins(some.name, margins, some.neutral)

    def _tasks(self) -> None:
        sources = self.sources
        if not sources.tasks:
            self.found.missing["tasks"] = "none named (--tasks NAMES)"
            return
        self.progress.begin("tasks: " + ", ".join(sources.tasks), 1)
        self.found.comparisons += compare_tasks(
            self.pair, sources.tasks, include=sources.include, limit=sources.limit
        )

    def _persistence(self) -> None:
        missing = self.found.missing
        if self.pair.decodes:
            missing["persistence"] = "decoding changes no weights"
            return
        if not self.sizes.survivors:
            missing["persistence"] = "not in this suite"
            return
        if not self.event:
            missing["persistence"] = "it is measured by the event"
            return
        few = _first(self.own, self.sizes.survivors)
        self.progress.begin("int8, merging", 6)
        self.found.survivals.append(after_int8(self.pair, few))
        self.progress.advance(1)
        try:
            for number, survival in enumerate(after_merging(self.pair, few)):
                self.found.survivals.append(survival)
                self.progress.advance(number + 2)
        except (RuntimeError, ModelError) as error:
            missing["merging"] = str(error).splitlines()[0]
        if not self.sizes.milestones:
            missing["fine-tuning"] = "not in this suite"
        elif self.clean is None:
            missing["fine-tuning"] = "no text given (--text FILE)"
        else:
            self.progress.begin("fine-tuning on text", max(self.sizes.milestones))
            self.found.survivals += after_fine_tuning(
                self.pair, few, self.clean, self.sizes.milestones, self.seed, self.progress.advance
            )


def _first(contexts: TokenContexts, count: int) -> TokenContexts:
    return contexts.choose(range(min(count, len(contexts))))


def _edges(length: int) -> list[int]:
    """0, 1, 2, 4, … and the length."""
    edges = [0]
    while (nxt := max(1, 2 * edges[-1])) < length:
        edges.append(nxt)
    return [*edges, length]
