"""What a suite is given and what it finds: sizes, sources, figures.

Quick is for a laptop's few minutes, full for when it matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tiltlm.records.base import Estimate
from tiltlm.records.measure import Bucket, Comparison, Drawn, Effect, Heat, Moved, Survival

SHOWN_ITEMS = 1000


@dataclass(frozen=True)
class Sizes:
    """How much is read and drawn.

    Attributes:
        contexts: of each kind.
        length: tokens of each.
        far: contexts of text that reach ``far_length``.
        far_length: tokens.
        draws: sequences for each way of drawing; 0 for none.
        drawn: tokens of each.
        on: sequences drawn on to ``on_tokens`` tokens; 0 for none.
        on_tokens: tokens.
        pairs: of each set at most.
        survivors: contexts to measure persistence at; 0 for none.
        milestones: steps of fine-tuning; () for none.
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


@dataclass
class Measured:
    """What was found.

    Attributes:
        effects: at each kind of context.
        languages: at each language.
        buckets: event mass by tokens read, for each kind.
        drawn: hit rates of samples.
        on: hit rate of each hundred tokens, far on; [] where none were drawn.
        comparisons: adjusted together.
        items: single items under base and model, to look at.
        survivals: after each treatment.
        moved: tokens that moved most.
        heat: a text, token by token.
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
    """Local files to measure on.

    Attributes:
        text: real text, for bits per byte and far positions; None for none.
        pairs: a folder for `find_pair_sets`; None for none.
        tasks: of lm-evaluation-harness.
        include: a folder with such tasks.
        limit: questions of each task at most.
    """

    text: Path | None = None
    pairs: Path | None = None
    tasks: tuple[str, ...] = ()
    include: Path | None = None
    limit: int | None = None
