"""Minimal pairs: which of two sentences base and model find likelier."""

from __future__ import annotations

from tiltlm.measures.minimal_pairs import compare_margins, margins_of, pooled
from tiltlm.measures.suite_parts.work import SuiteWork


def measure_sentences(work: SuiteWork) -> None:
    """Read the pairs of every set, and compare set by set and, of one family, together."""
    if work.pair_sets and not work.sizes.pairs:
        work.missing("minimal pairs", "not in this suite")
        return
    read = []
    for whole_set in work.pair_sets:
        pairs = whole_set.draw(work.sizes.pairs)
        work.progress.begin(pairs.name, 2 * len(pairs.pairs))
        read.append((pairs, margins_of(work.pair, pairs, work.progress.advance)))
    for name, margins in pooled(read):
        both = zip(margins.base.tolist(), margins.model.tolist(), strict=True)
        work.keep_items(f"{name}: margins, nats", list(both))
        for comparison in compare_margins(name, margins, None):
            work.compare(comparison)
    for pairs, margins in read:
        for comparison in compare_margins(pairs.name, margins, pairs.neutral):
            work.compare(comparison)
