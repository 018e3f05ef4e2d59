"""``measure.json``: what `tiltlm measure` found, for programs and for the page."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.measures.comparisons import Comparison
from tiltlm.measures.context_effects import Bucket, Effect
from tiltlm.measures.decoding import Drawn
from tiltlm.measures.intervals import Estimate
from tiltlm.measures.moved import Heat, Moved
from tiltlm.measures.persistence import Survival
from tiltlm.records import Record


class MeasureRecord(Record):
    """``measure.json`` of ``tiltlm measure``."""

    schema_version: Literal[1] = 1
    kind: Literal["measure"] = "measure"
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
    seed: int
    versions: dict[str, str]
    seconds: dict[str, float] = Field(description="of each part")
