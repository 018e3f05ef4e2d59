"""Do the intervals cover, and do false alarms stay at their rate? Simulations with known truth.

    python -m benchmarks.statistics.coverage [--simulations 4000]
    python -m benchmarks.statistics.coverage --false-alarms 100

The first checks every kind of interval that is reported, on data like what it is used for. The
second measures a tiny model against itself again and again, with other contexts and draws each
time, and counts how often anything is called different.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tiltlm.statistics.comparisons import adjust, compare_samples, compare_shift
from tiltlm.statistics.intervals import paired_shares, ratio_student, student, wilson

Draw = Callable[[np.random.Generator], tuple[tuple[float, float] | None, float]]
"""One simulated data set: its interval, and the truth."""


def of_rate(trials: int, rate: float) -> Draw:
    """Wilson: independent tokens."""

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        return wilson(int(g.binomial(trials, rate)), trials), rate

    return draw


def of_mean(contexts: int) -> Draw:
    """Student: event masses of contexts, a standard deviation of two fifths of the mean."""
    shape = 1 / 0.4**2

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        return student((0.02 * g.gamma(shape, 1 / shape, contexts)).tolist()), 0.02

    return draw


def of_ratio(contexts: int) -> Draw:
    """Ratio: contexts of 20 to 200 positions, correlated within."""

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        lengths = g.integers(20, 200, contexts).astype(float)
        levels = 1 + 0.3 * g.standard_normal(contexts)
        tops = lengths * levels + np.sqrt(lengths) * g.standard_normal(contexts)
        return ratio_student(tops.tolist(), lengths.tolist()), 1.0

    return draw


def of_gap(contexts: int) -> Draw:
    """The same: KL that is left over KL that was there, both skewed and correlated."""
    left = 0.03

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        there = g.lognormal(0, 0.5, contexts)
        rest = left * there * g.lognormal(-(0.4**2) / 2, 0.4, contexts)
        return ratio_student(rest.tolist(), there.tolist()), left

    return draw


def of_skewed(contexts: int) -> Draw:
    """The same: figures of contexts like divergences, lognormal with σ = 1."""

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        lengths = g.integers(20, 200, contexts).astype(float)
        tops = lengths * g.lognormal(-0.5, 1, contexts)
        return ratio_student(tops.tolist(), lengths.tolist()), 1.0

    return draw


def of_sparse(contexts: int, share: float) -> Draw:
    """The same: figures that are 0 but in a share of the contexts, as leakage often is."""

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        lengths = g.integers(20, 200, contexts).astype(float)
        levels = (g.random(contexts) < share) * g.exponential(1 / share, contexts)
        return ratio_student((lengths * levels).tolist(), lengths.tolist()), 1.0

    return draw


def of_difference(contexts: int) -> Draw:
    """The same: differences of two such skewed figures, whose mean is 0."""

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        lengths = g.integers(20, 200, contexts).astype(float)
        first, second = g.lognormal(-0.5, 1, (2, contexts))
        return ratio_student((lengths * (second - first)).tolist(), lengths.tolist()), 0.0

    return draw


def of_pairs(items: int, discordant: float, difference: float) -> Draw:
    """Agresti and Min: shares of the same items."""
    gain, lose = (discordant + difference) / 2, (discordant - difference) / 2

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        gained, lost, _ = g.multinomial(items, [gain, lose, 1 - discordant])
        return paired_shares(int(gained), int(lost), items)[0], difference

    return draw


def of_samples(sequences: int) -> Draw:
    """Welch: hit rates of sequences, more spread in one than in the other."""

    def draw(g: np.random.Generator) -> tuple[tuple[float, float] | None, float]:
        first = g.binomial(128, g.beta(2, 98, sequences)) / 128
        second = g.binomial(128, g.beta(5, 95, sequences)) / 128
        found = compare_samples("", "", first.tolist(), second.tolist(), worth=0.01)
        return found.interval, 0.03

    return draw


KINDS: dict[str, Draw] = {
    "Wilson, 2,048 tokens, rate 0.01": of_rate(2048, 0.01),
    "Wilson, 200 tokens, rate 0.94": of_rate(200, 0.94),
    "Student, 16 contexts": of_mean(16),
    "Student, 32 contexts": of_mean(32),
    "ratio, 8 contexts": of_ratio(8),
    "ratio, 32 contexts": of_ratio(32),
    "ratio, skewed, 16 contexts": of_gap(16),
    "ratio, skewed, 32 contexts": of_gap(32),
    "ratio, skewed, 112 contexts": of_gap(112),
    **{f"ratio, lognormal σ = 1, {n} contexts": of_skewed(n) for n in (8, 16, 32, 64)},
    **{f"ratio, 0 in three of four of {n} contexts": of_sparse(n, 0.25) for n in (8, 16, 32, 64)},
    **{f"ratio, 0 in nine of ten of {n} contexts": of_sparse(n, 0.1) for n in (16, 32, 64)},
    "ratio, skewed differences, 16 contexts": of_difference(16),
    "paired shares, 60 items, 10 % discordant": of_pairs(60, 0.1, 0.02),
    "paired shares, 1,000 items, 5 % discordant": of_pairs(1000, 0.05, 0.01),
    "Welch, 16 sequences": of_samples(16),
    "Welch, 64 sequences": of_samples(64),
}


def coverage(draw: Draw, simulations: int, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Share of intervals that hold the truth, with a Wilson interval of its own."""
    generator, inside = np.random.default_rng(seed), 0
    for _ in range(simulations):
        interval, truth = draw(generator)
        inside += interval is not None and interval[0] <= truth <= interval[1]
    return inside / simulations, wilson(inside, simulations)


def alarms_of_holm(simulations: int, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Share of suites of 40 comparisons without any difference in which something is called so."""
    generator, called = np.random.default_rng(seed), 0
    for _ in range(simulations):
        found = [
            compare_shift("", "", generator.standard_normal(32).tolist(), [1.0] * 32, worth=1)
            for _ in range(40)
        ]
        called += any(c.different for c in adjust(found))
    return called / simulations, wilson(called, simulations)


def false_alarms(repetitions: int) -> dict[str, float | int]:
    """A tiny model against itself: how often a suite calls anything different."""
    import tempfile

    from tests.tiny import TEXT, tiny_loaded  # the same tiny model as in the tests

    from tiltlm.events.vocabulary import Vocabulary
    from tiltlm.measures.pair import Pair
    from tiltlm.measures.suite import measure_pair
    from tiltlm.measures.suite_sizes import Sizes, Sources
    from tiltlm.targets.parse import parse_target

    loaded, called, compared, random = tiny_loaded(), 0, 0, 0
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    target = parse_target("tilt(contains('o'), 0)").bind(vocabulary)
    sizes = Sizes(contexts=16, length=32, far=0, draws=16, drawn=24, pairs=0, survivors=2)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(TEXT * 20)
        for seed in range(repetitions):
            pair = Pair(loaded, loaded, target)
            found = measure_pair(pair, sizes, Sources(text), seed=seed)
            called += any(c.different for c in found.comparisons)
            compared += len(found.comparisons)
            random += sum(c.interval is not None for c in found.comparisons)
            print(f"\r{seed + 1} of {repetitions}, {called} alarms", end="", flush=True)
    print()
    low, high = wilson(called, repetitions)
    share = called / repetitions
    print(f"{called} of {repetitions} suites with an alarm: {share:.3f} ({low:.3f} to {high:.3f})")
    print(f"{compared} comparisons, {random} of them not exactly 0")
    return {"repetitions": repetitions, "alarms": called, "comparisons": compared}


def main() -> None:
    """Print tables, write benchmarks/results/coverage.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--false-alarms", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.false_alarms:
        false_alarms(arguments.false_alarms)
        return
    results = {}
    print("| interval | coverage at 95 % | its own interval |\n|---|---|---|")
    for name, draw in KINDS.items():
        share, (low, high) = coverage(draw, arguments.simulations)
        results[name] = share
        print(f"| {name} | {share:.3f} | {low:.3f} to {high:.3f} |", flush=True)
    share, (low, high) = alarms_of_holm(arguments.simulations // 4)
    print(f"\nHolm, 40 comparisons without a difference: any called in {share:.3f} of suites")
    print(f"({low:.3f} to {high:.3f}); at most 0.05 is wished")
    results["Holm"] = share
    out = Path(__file__).parents[1] / "results" / "coverage.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
