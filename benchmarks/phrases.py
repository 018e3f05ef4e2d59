"""Suppress phrases while decoding: rate, perplexity, cost, and what took their place.

    python benchmarks/phrases.py --data ../shared/data

The phrases are the twenty of the slop list that SmolLM2 writes most often, counted on samples of
their own. Rates are counted in fresh samples of the base and of base with the processor, from the
same seeds; the unit of replication is one sequence.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from tiltlm.context_sources import text_contexts
from tiltlm.events import lines
from tiltlm.measures.intervals import bootstrap_ratio
from tiltlm.models import LoadedModel, load
from tiltlm.phrases import phrase
from tiltlm.realise.decode import TiltLogitsProcessor
from tiltlm.reference import Reference
from tiltlm.sampling import SamplingOptions, sample
from tiltlm.tilts import tilt
from tiltlm.vocabulary import Vocabulary

LENGTH, BATCH = 128, 64


def draw(loaded: LoadedModel, count: int, seed: int, processor: TiltLogitsProcessor | None = None):
    """Texts from the beginning of a text, and the seconds that they took."""
    begin, ids = time.perf_counter(), []
    for first in range(0, count, BATCH):
        prompts = torch.full((BATCH, 1), loaded.tokenizer.bos_token_id)
        options = SamplingOptions(seed=seed + first)
        ids += sample(loaded.model, prompts, LENGTH, options, processor=processor).tolist()
    seconds = time.perf_counter() - begin
    return [loaded.tokenizer.decode(row, skip_special_tokens=True) for row in ids], seconds


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


def risen(before: list[str], after: list[str]) -> list[tuple[str, int, int, float]]:
    """The words whose share rose most, by the z of two proportions."""
    first, second = (Counter(re.findall(r"[a-z']+", " ".join(t).lower())) for t in (before, after))
    n, m = sum(first.values()), sum(second.values())
    found = []
    for word in second:
        share = (first[word] + second[word]) / (n + m)
        error = (share * (1 - share) * (1 / n + 1 / m)) ** 0.5
        found.append(
            (word, first[word], second[word], (second[word] / m - first[word] / n) / error)
        )
    return sorted(found, key=lambda row: -row[3])[:10]


def main() -> None:
    """All parts, as lines and as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sequences", type=int, default=256)
    chosen = parser.parse_args()
    loaded = load("smollm2")
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    slop = lines(str(chosen.data / "slop_list.json"))
    pilot, _ = draw(loaded, chosen.sequences, 10_000)
    each = {word: sum(counts(pilot, [word])) for word in slop}
    words = sorted(each, key=lambda word: -each[word])[:20]
    print("phrases:", ", ".join(f"{w} ({each[w]})" for w in words), flush=True)

    target = tilt(phrase(*words, ignore_case=True, whole=True), -5.0).bind(vocabulary)
    before, plain = draw(loaded, chosen.sequences, 0)
    after, steered = draw(loaded, chosen.sequences, 0, TiltLogitsProcessor(target))
    hits = [counts(t, words) for t in (before, after)]
    rates = [1e4 * sum(h) / sum(words_in(t)) for h, t in zip(hits, (before, after), strict=True)]
    ratio = bootstrap_ratio(hits[1], hits[0])
    print(
        f"per 10,000 words: {rates[0]:.1f} before, {rates[1]:.1f} after; {sum(hits[0])} and "
        f"{sum(hits[1])} of them; ratio {rates[1] / rates[0]:.3f}, 95 % over sequences {ratio}"
    )
    base, tilted = perplexity_change(loaded, target, chosen.data)
    print(f"WikiText perplexity {base:.3f} → {tilted:.3f} ({tilted / base - 1:+.3%})")
    print("risen:", risen(before, after))

    generator = random.Random(0)
    vocabulary_words = [
        t.decode().strip() for t in vocabulary.tokens if re.fullmatch(rb" ?[a-z]{3,8}", t)
    ]
    many = {" ".join(generator.sample(vocabulary_words, 3)) for _ in range(8000)}
    begin = time.perf_counter()
    large = TiltLogitsProcessor(tilt(phrase(*many, whole=True), -5.0).bind(vocabulary))
    built = time.perf_counter() - begin
    times = {"plain": [], "8,000 phrases": []}
    for round_ in range(3):
        times["plain"].append(draw(loaded, BATCH, round_)[1])
        times["8,000 phrases"].append(draw(loaded, BATCH, round_, large)[1])
    cost = [b / a - 1 for a, b in zip(*times.values(), strict=True)]
    print(
        f"8,000 phrases: built in {built:.1f} s; generation {np.median(cost):+.1%} "
        f"({min(cost):+.1%} to {max(cost):+.1%}, three interleaved rounds of {BATCH} × {LENGTH})"
    )
    print(
        json.dumps(
            {
                "rates": rates,
                "perplexity": [base, tilted],
                "cost": cost,
                "plain": plain,
                "steered": steered,
            }
        )
    )


if __name__ == "__main__":
    main()
