"""``result.json`` of ``tiltlm audit --access logprobs``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.audit import AuditVerdict, NullRecord, ShiftedContext
from tiltlm.records.base import Interval, PlacementRecord, Record
from tiltlm.records.claim import ClaimRecord


class SeenToken(Record):
    """A token of a class, at the positions at which it was among the likeliest."""

    id: int = Field(description="of the token")
    text: str = Field(description="of the token")
    strength_nats: float = Field(description="mean log-ratio less that of the others at its places")
    places: int = Field(description="at which it was shown")


class LogprobsFindingRecord(Record):
    """A class of tokens that was shifted, as far as the likeliest tokens show."""

    event: str = Field(description="as it can be written again, or the name of a list")
    shown: str = Field(description="the same for people: of a cluster, a few of its tokens")
    tokens: int = Field(description="in the class")
    token_ids: list[int] = Field(description="of the class")
    strength_nats: float = Field(description="by which the class was shifted")
    interval: Interval = Field(
        description="95 %; the units of replication are the context and, with a pack, the benign "
        "change"
    )
    mass_reference: float = Field(description="mean probability of the class, all tokens counted")
    seen_share: float = Field(
        description="of that, how much was at places where the suspect showed the token; the "
        "rest is censored"
    )
    p_shifted: float | None = Field(
        description="that a benign change of the pack's kinds shifts any class so much, adjusted "
        "for all classes; null without a pack"
    )
    p_planted: float | None = Field(
        description="that in a benign change the class that stands out most is so much like a "
        "planted tilt: shifted alike in all contexts; null without a pack"
    )
    planted: bool | None = Field(
        description="whether it accuses: both p are at most the false-positive rate"
    )
    context_spread: float | None = Field(
        description="standard deviation of the strength from context to context, nats, without "
        "errors of regression; null without a pack"
    )
    p_means: str = Field(default="", description="what a small p_shifted says")
    evidence: list[SeenToken] = Field(description="its tokens that were shifted most")
    contexts: list[ShiftedContext] = Field(description="those in which it was shifted most")


class LogprobsAuditRecord(Record):
    """``result.json`` of ``tiltlm audit --access logprobs``."""

    schema_version: Literal[2] = Field(default=2, description="of this record")
    kind: Literal["audit"] = Field(default="audit", description="of record")
    access: Literal["logprobs"] = Field(default="logprobs", description="to what of the suspect")
    verdict: AuditVerdict = Field(
        description="found: a class looks planted; changed: classes were shifted, none of them "
        "like a planted tilt; uncalibrated without a pack"
    )
    partial: bool = Field(description="stopped before the budget was spent")
    suspect: str = Field(description="as it was named")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    fpr: float = Field(description="the false-positive rate that was asked for")
    null: NullRecord | None = Field(description="what calibrated it; null without a pack")
    score: float | None = Field(
        description="of the class that stands out most; null without a pack"
    )
    null_scores: list[float] = Field(description="the same of every benign change")
    findings: list[LogprobsFindingRecord] = Field(description="classes that were shifted")
    classes: int = Field(description="on which there was enough to judge them by")
    top: int = Field(description="log-probabilities a position")
    noise_nats: float | None = Field(
        description="standard deviation of a log-probability asked for again; null: not seen"
    )
    places: int = Field(description="at which log-probabilities came; of an endpoint, requests")
    contexts: int = Field(description="that these are in")
    budget: int = Field(description="positions to look at, or requests to make, at most")
    seen_mass: float = Field(description="share of the reference's probability on tokens shown")
    claim: ClaimRecord | None = Field(default=None, description="what the suspect's label says")
    notes: list[str] = Field(description="what the reader should know of this audit")
    placement: PlacementRecord | None = Field(
        default=None, description="of the reference while figures were taken"
    )
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")
