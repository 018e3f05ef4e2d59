"""What the suite of ``tiltlm measure`` is given, and what it finds: sizes, sources, figures.

The quick suite is for a laptop's few minutes, the full one for when it matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tiltlm.errors import ConfigError
from tiltlm.records.base import Estimate
from tiltlm.records.measure import Bucket, Comparison, Drawn, Effect, Heat, Moved, Survival

SHOWN_ITEMS = 1000
"""Single items of a comparison that are kept in the record."""

FEWEST_ON = 4
"""Sequences drawn far on where a user asks for a number of tokens."""


@dataclass(frozen=True)
class Sizes:
    """How much is read and drawn.

    Attributes:
        contexts: of each kind.
        length: tokens of each context.
        far: contexts of text that reach ``far_length``; 0 for none.
        far_length: tokens of each of these.
        draws: sequences for each way of drawing; 0 for none.
        drawn: tokens of each of these.
        on: sequences drawn on to ``on_tokens`` tokens; 0 for none.
        on_tokens: tokens of each of these.
        pairs: minimal pairs of each set at most; 0 for none.
        survivors: contexts to measure persistence at; 0 to leave it out.
        milestones: steps of fine-tuning after which persistence is measured; () for none.
    """

    contexts: int = 32
    length: int = 128
    far: int = 2
    far_length: int = 2048
    draws: int = 16
    drawn: int = 64
    on: int = 0
    on_tokens: int = 2000
    pairs: int = 60
    survivors: int = 8
    milestones: tuple[int, ...] = ()


SUITES = {
    "quick": Sizes(),
    "full": Sizes(
        contexts=112,
        far=8,
        draws=64,
        drawn=128,
        on=8,
        pairs=1_000_000,
        survivors=32,
        milestones=(5, 15, 30),
    ),
}
"""The suites by their names."""


def sizes_of(suite: str | Sizes, on_tokens: int | None = None) -> Sizes:
    """The sizes that a suite stands for.

    Args:
        suite: ``quick``, ``full``, or sizes.
        on_tokens: draw so many tokens on, in at least `FEWEST_ON` sequences; None for as many as
            the suite does.

    Raises:
        ConfigError: there is no suite of that name.

    >>> sizes_of("quick", 500).on_tokens
    500
    """
    if isinstance(suite, str):
        if suite not in SUITES:
            raise ConfigError(f"no such suite: {suite!r}", fix="one of " + ", ".join(SUITES))
        suite = SUITES[suite]
    if on_tokens is None:
        return suite
    return replace(suite, on=max(suite.on, FEWEST_ON), on_tokens=on_tokens)


@dataclass
class Measured:
    """What was found; fields of a `MeasureRecord` of the same names.

    Attributes:
        effects: at each kind of context.
        languages: at each language.
        buckets: event mass by tokens read, for each kind of context.
        drawn: hit rates of samples, for each way of drawing.
        on: hit rate of each hundred tokens, far on; [] where none were drawn.
        comparisons: of model and base, p-values adjusted together.
        items: (base, model) of single items of some comparisons, to look at.
        survivals: after each treatment.
        moved: tokens whose mean probability changed most.
        heat: one text, token by token.
        missing: what was not measured, and why.
        seconds: of each part.
    """

    effects: list[Effect] = field(default_factory=list)
    languages: list[Effect] = field(default_factory=list)
    buckets: dict[str, list[Bucket]] = field(default_factory=dict)
    drawn: list[Drawn] = field(default_factory=list)
    on: list[Estimate] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    items: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    survivals: list[Survival] = field(default_factory=list)
    moved: Moved | None = None
    heat: Heat | None = None
    missing: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """Local files to measure on, and tasks.

    Attributes:
        text: a file of real text, for bits per byte and far positions; None for none.
        pairs: a folder for `find_pair_sets`; None for none.
        tasks: names of tasks of lm-evaluation-harness.
        include: a folder with task files of one's own.
        limit: questions of each task at most; None for all.
    """

    text: Path | None = None
    pairs: Path | None = None
    tasks: tuple[str, ...] = ()
    include: Path | None = None
    limit: int | None = None
