"""``result.json`` of ``tiltlm audit --access text``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.audit import NullRecord
from tiltlm.records.base import Interval, PlacementRecord, Record
from tiltlm.records.claim import ClaimRecord


class TextFindingRecord(Record):
    """A class of tokens whose rate in a suspect's text is not the reference's."""

    event: str = Field(description="as it can be written again, or the name of a list")
    tokens: int = Field(description="in the class")
    token_ids: list[int] = Field(description="of the class")
    hits: int = Field(description="tokens of the suspect's text that are in it")
    expected: float = Field(description="hits, had the reference gone on from the same texts")
    strength_nats: float = Field(
        description="estimated from text read afterwards, see `fresh_tokens`"
    )
    interval: Interval = Field(description="95 % confidence sequence: holds whenever one stops")
    tolerance_nats: float = Field(description="tilts up to this are not accused")
    e_value: float = Field(description="evidence against no tilt beyond the tolerance")
    p: float = Field(
        description="anytime-valid, adjusted for all classes (Bonferroni); with a pack twice that, "
        "since half of the rate is for benign changes beyond the tolerance"
    )
    p_means: str = Field(default="", description="what a small p says")


class TextAuditRecord(Record):
    """``result.json`` of ``tiltlm audit --access text``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["audit"] = Field(default="audit", description="of record")
    access: Literal["text"] = Field(default="text", description="to what of the suspect")
    verdict: Literal["found", "none"] = Field(description="whether a tilt was found")
    partial: bool = Field(description="cut off before all was read that was to be read")
    suspect: str = Field(description="as it was named")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    fpr: float = Field(description="the false-positive rate that was asked for")
    null: NullRecord | None = Field(description="what calibrated it; null without a pack")
    findings: list[TextFindingRecord] = Field(
        description="classes whose rate is not the reference's"
    )
    course: list[tuple[int, float]] = Field(
        description="tokens read, and the logarithm to base 10 of the largest e-value then"
    )
    decided_at: float = Field(description="where that decides: log10 of classes over α")
    classes: int = Field(description="that were tried")
    tokens_read: int = Field(description="of the suspect's text")
    fresh_tokens: int = Field(
        default=0,
        description="of these, how many were read once it was decided; strengths are estimated "
        "from them alone. 0: from all text, and where it was decided they are too large",
    )
    answers: int = Field(description="that came, empty ones included")
    empty_answers: int = Field(
        description="without a token; they count as answers. An immediate end of text is a token"
    )
    budget: int = Field(description="tokens to read at most")
    least_tokens: int | None = Field(
        description="that Wald's bound gives for the tilt found, if its class had been known"
    )
    claim: ClaimRecord | None = Field(default=None, description="what the suspect's label says")
    notes: list[str] = Field(description="what the reader should know of this audit")
    placement: PlacementRecord | None = Field(
        default=None, description="of the reference while figures were taken"
    )
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")
