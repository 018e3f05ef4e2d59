"""What every part of the suite is given, and where it leaves what it found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from tiltlm.contexts import evaluation
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.measures.minimal_pairs import find_pair_sets
from tiltlm.measures.pair import Pair
from tiltlm.measures.suite_sizes import SHOWN_ITEMS, Measured, Sizes, Sources
from tiltlm.progress import Progress
from tiltlm.records.measure import Comparison

INFINITE = "infinite: the model rules out tokens that stand there"
"""Why a comparison of log-probabilities could not be made."""

_TEXT_PIECES = 4
"""For each context that is measured, so many pieces of text are cut, to fine-tune on as well."""


class SuiteWork:
    """A pair to be measured, with the material to measure it on.

    Args:
        pair: model and base.
        sizes: how much is read and drawn.
        sources: local files; they are read here, so that a damaged one is refused at once.
        seed: of contexts and draws.
        key: of the base's weights, to keep its samples in the cache by; None to keep none.
        progress: told of the parts of the work.

    Attributes:
        measured: what has been found so far.
        has_event: whether there is a target with an event whose effect can be measured.
        pair_sets: minimal pairs of ``sources``.

    Raises:
        ConfigError: a file cannot be read, or is damaged.
    """

    def __init__(
        self,
        pair: Pair,
        sizes: Sizes,
        sources: Sources,
        *,
        seed: int,
        key: str | None,
        progress: Progress,
    ) -> None:
        self.pair, self.sizes, self.sources = pair, sizes, sources
        self.seed, self.key, self.progress = seed, key, progress
        self.measured = Measured()
        self._text = None if sources.text is None else evaluation.read_text(sources.text)
        self.pair_sets = [] if sources.pairs is None else find_pair_sets(sources.pairs)
        if sources.pairs is not None and not self.pair_sets:
            raise ConfigError(
                "no pairs here: blimp/*.jsonl, crows_pairs.csv, winobias/pro_type*.txt",
                where=str(sources.pairs),
            )
        self.has_event = pair.target is not None and bool(pair.target.events)
        if self._text is None:
            self.missing("bits per byte, far positions", "no text given (--text FILE)")
        if not self.pair_sets:
            self.missing("minimal pairs", "no folder given (--pairs DIR)")
        if not self.has_event:
            self.missing(
                "effect, strength, hit rates",
                "no target given or found in a label, or it has no event",
            )

    @cached_property
    def own_samples(self) -> TokenContexts:
        """Samples of the base's own, drawn when they are first asked for."""
        self.progress.begin("the base's own samples", self.sizes.contexts)
        return evaluation.own(
            self.pair.base,
            self.sizes.contexts,
            self.sizes.length,
            self.seed,
            self.key,
            self.progress.advance,
        )

    @cached_property
    def text_pieces(self) -> TokenContexts | None:
        """Pieces of the text, more than are measured at; None where no text was given."""
        return self.text_of(_TEXT_PIECES * self.sizes.contexts, self.sizes.length)

    def text_of(self, count: int, length: int) -> TokenContexts | None:
        """Pieces spread evenly over the text.

        Args:
            count: pieces at most.
            length: tokens of each, or what the model can read.

        Returns:
            None where no text was given.
        """
        if self._text is None:
            return None
        return evaluation.real_text(self.pair.base, self._text, count, length)

    def missing(self, name: str, reason: str) -> None:
        """Say that something was not measured, and why."""
        self.measured.missing[name] = reason

    def compare(self, comparison: Comparison) -> None:
        """Keep a comparison, or say that it could not be made because it is infinite."""
        if math.isfinite(comparison.difference):
            self.measured.comparisons.append(comparison)
        else:
            self.missing(comparison.name, INFINITE)

    def keep_items(self, name: str, items: Sequence[tuple[float, float]]) -> None:
        """Keep (base, model) of the first items of a comparison, those that are finite."""
        finite = [item for item in items if all(map(math.isfinite, item))]
        if finite:
            self.measured.items[name] = finite[:SHOWN_ITEMS]


def first_of(contexts: TokenContexts, count: int) -> TokenContexts:
    """The first ``count`` contexts, or all where there are fewer."""
    return contexts.choose(range(min(count, len(contexts))))
