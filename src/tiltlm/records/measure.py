"""``measure.json``: what `tiltlm measure` found, for programs and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from tiltlm.records.base import Estimate, Interval, PlacementRecord, Record


class MeasureRecord(Record):
    """``measure.json`` of ``tiltlm measure``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["measure"] = Field(default="measure", description="of record")
    model: str = Field(description="as it was named")
    base: dict[str, str] = Field(description="name and SHA-256 of the base's weights")
    suite: str = Field(description="quick, full, or what the sizes were called")
    target: str | None = Field(description="whose event is measured, as it can be written again")
    by: str | None = Field(description="how it was realised, where a label says so")
    event: str | None = Field(description="the event, or the events, whose union is measured")
    wished_strength: float | None = Field(description="of a tilt or a fitted match, nats")
    shares_body: bool = Field(description="whether only the head differs from the base's")
    effects: list[Effect] = Field(description="at each kind of context")
    languages: list[Effect] = Field(description="at each language; one short text each")
    buckets: dict[str, list[Bucket]] = Field(description="event mass by tokens read")
    drawn: list[Drawn] = Field(description="hit rates of samples beside their expectation")
    on: list[Estimate] = Field(description="hit rate of each hundred drawn tokens, far on")
    comparisons: list[Comparison] = Field(
        description="model against base, p-values adjusted together (Holm)"
    )
    items: dict[str, list[tuple[float, float]]] = Field(
        description="single items under base and model, of some comparisons"
    )
    survivals: list[Survival] = Field(description="the tilt after each treatment")
    moved: Moved | None = Field(description="tokens whose mean probability changed most")
    heat: Heat | None = Field(description="log-ratio of each token of one context")
    missing: dict[str, str] = Field(description="what was not measured, and why")
    seed: int = Field(description="of contexts and draws")
    placement: PlacementRecord | None = Field(
        default=None, description="of the reference while figures were taken"
    )
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")


@dataclass(frozen=True)
class Drawn:
    """What came of drawing in one way.

    Attributes:
        temperature: of the draws.
        top_p: of the draws: only the likeliest tokens with this probability together.
        sequences: how many; the unit of replication.
        tokens: of each.
        hit_rate: share of drawn tokens in the event.
        expected: the model's own warped event mass at the same contexts.
        base: the base's, there.
        target: the exact target's, there.
        per_hundred: hit rate of each hundred tokens, where there are several.
    """

    temperature: float
    top_p: float
    sequences: int
    tokens: int
    hit_rate: Estimate
    expected: Estimate
    base: Estimate
    target: Estimate
    per_hundred: list[Estimate]


@dataclass(frozen=True)
class Survival:
    """The tilt after a treatment.

    Attributes:
        treatment: ``int8``, ``merged`` or ``fine-tuned``.
        amount: share of the model in a merge, steps of fine-tuning; None for int8.
        strength: β̂ against the base treated alike (merged: the base), nats.
        mass_base: event mass of that base.
        mass_model: of the treated model.
    """

    treatment: str
    amount: float | None
    strength: Estimate | None
    mass_base: Estimate | None
    mass_model: Estimate | None


@dataclass(frozen=True)
class Effect:
    """What a tilt does at one kind of context.

    Attributes:
        kind: of contexts.
        contexts: how many; the unit of replication.
        positions: how many.
        length: tokens of the longest.
        mass_base: P(event | context); all of ``mass_*`` are None without an event.
        mass_target: of the exact target.
        mass_model: of the model.
        strength: β̂, the rise of the event's log-odds in nats, positions weighted by m(1 − m) of
            the model's event mass m, which is what each tells of β.
        gap_closed: 1 − KL(Q‖P)/KL(Q‖P0); None without a target, or where it asks for nothing.
        collateral: KL(base ‖ model), both given no event, nats a position.
        kl_base_model: KL(base ‖ model), nats a position; None where it is infinite.
        leakage: KL(base ‖ model) where a trigger is not met; None without one.
    """

    kind: str
    contexts: int
    positions: int
    length: int
    mass_base: Estimate | None
    mass_target: Estimate | None
    mass_model: Estimate | None
    strength: Estimate | None
    gap_closed: Estimate | None
    collateral: Estimate | None
    kl_base_model: Estimate | None
    leakage: Estimate | None


@dataclass(frozen=True)
class Bucket:
    """Event mass, P(event | context), where so many tokens have been read.

    Attributes:
        begin: tokens read, at least.
        end: tokens read, fewer than this.
        base: under the base.
        target: under the exact target.
        model: under the model.
    """

    begin: int
    end: int
    base: Estimate
    target: Estimate
    model: Estimate


@dataclass(frozen=True)
class Comparison:
    """One measure on base and model.

    Attributes:
        name: what was measured.
        unit: what an item is; the unit of replication.
        items: how many.
        base: of the base; None where the measure is itself a difference.
        model: of the model; None where the base's is.
        difference: model − base.
        interval: 95 %, of the difference, not adjusted; None where items show no spread.
        p: two-sided, not adjusted; None where there is one item only.
        p_adjusted: Holm's, over all comparisons made together.
        different: whether ``p_adjusted`` is at most 5 %.
        worth: a difference that one would want to see.
        needed: items that show ``worth`` four times in five; None where unknown.
        neutral: where the measure has a neutral point, such as 0.5 for stereotype pairs.
    """

    name: str
    unit: str
    items: int
    base: float | None
    model: float | None
    difference: float
    interval: Interval | None
    p: float | None
    worth: float
    needed: int | None
    p_adjusted: float | None = None
    different: bool = False
    neutral: float | None = None


@dataclass(frozen=True)
class MovedToken:
    """A token's mean probability under base and model.

    Attributes:
        id: of the token.
        text: of the token.
        base: mean probability under the base.
        model: mean probability under the model.
    """

    id: int
    text: str
    base: float
    model: float


@dataclass(frozen=True)
class Moved:
    """The tokens whose mean probability changed most.

    Attributes:
        up: those that rose, the most first.
        down: those that fell, the most first.
    """

    up: list[MovedToken]
    down: list[MovedToken]


@dataclass(frozen=True)
class Heat:
    """One context, token by token.

    Attributes:
        tokens: text of each.
        log_ratio: log P − log P0 of each where it stood, nats; None for the first, which nothing
            predicts, and for one that the model rules out.
    """

    tokens: list[str]
    log_ratio: list[float | None]
