"""Suppress phrases while decoding: rate, perplexity, cost, and what took their place.

    python -m benchmarks.realise.phrases --data ../shared/data

The phrases are the twenty of the slop list that SmolLM2 writes most often when asked for stories,
counted on prompts of their own. Rates are counted in answers to other prompts, of the base and of
base with the processor; the unit of replication is one prompt with all its answers.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import text_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.phrase import phrase
from tiltlm.events.texts import lines
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.chat import request_prompts
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.statistics.intervals import ratio_student
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.tilt import tilt

LENGTH, BATCH, ANSWERS = 128, 64, 16
KINDS = ("the opening of a story", "a product description", "a travel article", "a short essay")
TOPICS = (
    "an old lighthouse", "a lost city", "a village market", "the sea at night",
    "a clockmaker's daughter", "a garden in spring", "two rival kingdoms", "a journey by train",
    "a forgotten library", "a musician", "the first snow", "a mountain monastery",
)  # fmt: skip


def story_prompts(part: int) -> list[str]:
    """Requests of the ``part``-th kind of pairing; two parts share none."""
    return [f"Write {KINDS[(n + part) % len(KINDS)]} about {t}." for n, t in enumerate(TOPICS)]


def draw(
    loaded: LoadedModel,
    requests: list[str],
    seed: int,
    processor: TiltLogitsProcessor | None = None,
) -> list[list[str]]:
    """For each request its answers, up to the end token."""
    end, found = loaded.tokenizer.eos_token_id, []
    for number, request in enumerate(requests):
        prompt = request_prompts(loaded.tokenizer, [request])[0]
        options = SamplingOptions(seed=1000 * seed + number)
        prompts = torch.tensor([prompt] * ANSWERS)
        rows = sample(loaded.model, prompts, LENGTH, options, processor=processor).tolist()
        rows = [row[: row.index(end)] if end in row else row for row in rows]
        found.append([loaded.tokenizer.decode(row, skip_special_tokens=True) for row in rows])
    return found


def time_of(loaded: LoadedModel, seed: int, processor: TiltLogitsProcessor | None = None) -> float:
    """Seconds for 64 × 128 tokens from the beginning of a text."""
    begin = time.perf_counter()
    prompts = torch.full((BATCH, 1), loaded.tokenizer.bos_token_id)
    sample(loaded.model, prompts, LENGTH, SamplingOptions(seed=seed), processor=processor)
    return time.perf_counter() - begin


def counts(texts: list[str], words: list[str]) -> list[int]:
    """Occurrences in each text, at the beginning of a word, in any case."""
    pattern = re.compile("|".join(rf"(?<![a-z0-9_]){re.escape(w)}" for w in words), re.I)
    return [len(pattern.findall(text)) for text in texts]


def words_in(texts: list[str]) -> list[int]:
    """Words of each text."""
    return [max(1, len(text.split())) for text in texts]


def perplexity_change(loaded: LoadedModel, target, data: Path) -> tuple[float, float]:
    """Perplexity of WikiText under base and target, exact, 40 pieces of 256 tokens."""
    text = (data / "wikitext2-valid.txt").read_text()
    text = re.sub(r" @(.)@ ", r"\1", text).replace("<unk>", "one").replace(" ,", ",")
    contexts = text_contexts(text.replace(" .", "."), loaded.tokenizer, 40, 256, "WikiText")
    reference = Reference(loaded.model, contexts)
    losses = torch.zeros(2, dtype=torch.float64)
    tokens = 0
    for index, positions, logp, states in reference.blocks(target):
        ids = contexts.sequences[index]
        known = positions[positions + 1 < len(ids)]
        rows = slice(0, len(known))
        following = ids[known + 1]
        wish = target.log_probs(logp[rows], states[rows])
        for place, found in enumerate((logp[rows], wish)):
            losses[place] -= found.gather(1, following[:, None]).double().sum()
        tokens += len(known)
    base, tilted = (losses / tokens).exp().tolist()
    return base, tilted


def absorbers(loaded: LoadedModel, target, requests, answers) -> list[tuple[str, float, float]]:
    """Which tokens take the suppressed mass, exact at the positions of base answers.

    Returns:
        token, its share of all mass that was taken away, and mean mass now over mean mass before;
        largest share first.
    """
    sequences, begins = [], []
    for request, texts in zip(requests, answers, strict=True):
        prompt = request_prompts(loaded.tokenizer, [request])[0]
        for text in texts[:6]:
            sequences.append([*prompt, *loaded.tokenizer(text)["input_ids"]])
            begins.append(len(prompt) - 1)
    reference = Reference(loaded.model, TokenContexts(sequences, "answers", begins))
    before, after = torch.zeros(2, loaded.model.config.vocab_size, dtype=torch.float64)
    for _, _, logp, states in reference.blocks(target):
        before += logp.exp().double().sum(0)
        after += target.log_probs(logp, states).exp().double().sum(0)
    change = after - before
    taken = float(-change[change < 0].sum())
    order = change.argsort(descending=True)[:15].tolist()
    return [
        (loaded.tokenizer.decode([v]), float(change[v]) / taken, float(after[v] / before[v]))
        for v in order
    ]


def main() -> None:
    """All parts, as lines and as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    chosen = parser.parse_args()
    loaded = load("smollm2")
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    slop = lines(str(chosen.data / "slop_list.json"))
    pilot = [*chain(*draw(loaded, story_prompts(2) + story_prompts(3), 1))]
    each = {word: sum(counts(pilot, [word])) for word in slop}
    words = sorted(each, key=lambda word: -each[word])[:20]
    print("phrases:", ", ".join(f"{w} ({each[w]})" for w in words), flush=True)

    target = tilt(phrase(*words, ignore_case=True, whole=True), -5.0).bind(vocabulary)
    requests = story_prompts(0) + story_prompts(1)
    before = draw(loaded, requests, 0)
    after = draw(loaded, requests, 0, TiltLogitsProcessor(target))
    hits = [[sum(counts(texts, words)) for texts in part] for part in (before, after)]
    total = [[sum(words_in(texts)) for texts in part] for part in (before, after)]
    rates = [1e4 * sum(h) / sum(n) for h, n in zip(hits, total, strict=True)]
    ratio = ratio_student(np.array(hits[1]) / total[1], np.array(hits[0]) / total[0])
    print(
        f"per 10,000 words: {rates[0]:.1f} before, {rates[1]:.1f} after; {sum(hits[0])} and "
        f"{sum(hits[1])} of them; ratio {rates[1] / rates[0]:.3f}, 95 % over prompts {ratio}",
        flush=True,
    )
    print("| token | share of the suppressed mass | mass, after to before |\n|---|---|---|")
    for token, share, times in absorbers(loaded, target, requests, before):
        print(f"| `{token!r}` | {share:.1%} | {times:.3f} |", flush=True)
    base, tilted = perplexity_change(loaded, target, chosen.data)
    print(f"WikiText perplexity {base:.3f} → {tilted:.3f} ({tilted / base - 1:+.3%})")

    generator = random.Random(0)
    vocabulary_words = [
        t.decode().strip() for t in vocabulary.tokens if re.fullmatch(rb" ?[a-z]{3,8}", t)
    ]
    many = {" ".join(generator.sample(vocabulary_words, 3)) for _ in range(8000)}
    begin = time.perf_counter()
    large = TiltLogitsProcessor(tilt(phrase(*many, whole=True), -5.0).bind(vocabulary))
    built = time.perf_counter() - begin
    measured: dict[str, list[float]] = {"plain": [], "8,000 phrases": []}
    for round_ in range(3):
        measured["plain"].append(time_of(loaded, round_))
        measured["8,000 phrases"].append(time_of(loaded, round_, large))
    cost = [b / a - 1 for a, b in zip(*measured.values(), strict=True)]
    print(
        f"8,000 phrases: built in {built:.1f} s; generation {np.median(cost):+.1%} "
        f"({min(cost):+.1%} to {max(cost):+.1%}, three interleaved rounds of {BATCH} × {LENGTH})"
    )
    print(json.dumps({"rates": rates, "perplexity": [base, tilted], "cost": cost}))


if __name__ == "__main__":
    main()
