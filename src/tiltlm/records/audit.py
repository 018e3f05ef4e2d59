"""``result.json`` of ``tiltlm audit`` by logits, and what those of all accesses share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Interval, PlacementRecord, Record
from tiltlm.records.claim import ClaimRecord

AuditVerdict = Literal["found", "changed", "none", "uncalibrated"]
"""What an audit by logits says of a suspect."""


class ShiftedToken(Record):
    """A token that was shifted."""

    id: int = Field(description="of the token")
    text: str = Field(description="of the token")
    strength_nats: float = Field(description="its shift outside the head's column space")
    reference: float = Field(description="mean probability under the reference")
    suspect: float = Field(description="mean probability under the suspect")


class ShiftedContext(Record):
    """One context, up to where the shift of a class is largest."""

    text: str = Field(description="of the context")
    strength_nats: float = Field(description="of the class in this context")


class MassRecord(Record):
    """Mean probability of a class at the audit's contexts."""

    reference: float = Field(description="under the reference")
    suspect: float = Field(description="under the suspect")


class Histogram(Record):
    """How the tokens of a class were shifted, and how all others."""

    edges: list[float] = Field(description="nats; one more than there are bins")
    inside: list[float] = Field(description="share of the class's tokens in each bin")
    others: list[float] = Field(description="share of all other tokens")


class FindingRecord(Record):
    """A class of tokens that was shifted."""

    event: str = Field(description="as it can be written again, or the name of a list")
    shown: str = Field(description="the same for people: of a cluster, a few of its tokens")
    tokens: int = Field(description="in the class")
    token_ids: list[int] = Field(description="of the class")
    seen: Literal["outside", "inside"] = Field(
        description="outside the head's column space (by the head) or inside it (by the body)"
    )
    strength_nats: float = Field(description="by which the class was shifted")
    interval: Interval | None = Field(
        description="95 %, the unit of replication is the benign change; null without a pack"
    )
    halves: tuple[float, float] = Field(description="strengths in either half of the contexts")
    mass: MassRecord = Field(description="of the class")
    where: str = Field(description="everywhere, or in which share of the contexts")
    p_shifted: float | None = Field(
        description="that a benign change of the pack's kinds shifts any class so much, adjusted "
        "for all hypotheses; of findings after the first, that so much is left over once those "
        "before are taken out; null without a pack"
    )
    p_planted: float | None = Field(
        description="that in a benign change any class is so much like a planted tilt: shifted "
        "alike for all its tokens in all kinds of context; null without a pack"
    )
    planted: bool | None = Field(
        description="whether it accuses: p_planted is at most the false-positive rate"
    )
    token_spread: float | None = Field(
        description="standard deviation of the strength from token to token of the class, nats, "
        "without noise; null inside, and without a pack"
    )
    stratum_spread: float | None = Field(description="the same from one kind of context to another")
    evidence: list[ShiftedToken] = Field(description="its tokens that were shifted most")
    contexts: list[ShiftedContext] = Field(description="those in which it was shifted most")
    histogram: Histogram = Field(description="of the shifts of its tokens and of all others")


class CandidateRecord(Record):
    """A word that may be the trigger."""

    word: str = Field(description="as it was put into texts")
    strength_nats: float = Field(description="by which the class rises after it, alone in a text")
    interval: Interval | None = Field(description="95 %, Student, over the samples it was put in")


class TriggerRecord(Record):
    """A class of tokens that is shifted where a word came before."""

    event: str = Field(description="as it can be written again, or the name of a list")
    tokens: int = Field(description="in the class")
    token_ids: list[int] = Field(description="of the class")
    word: str = Field(description="after which the class is shifted")
    strength_nats: float = Field(description="by which it rises there")
    interval: Interval | None = Field(description="95 %, Student, over samples read anew")
    score: float = Field(description="comparable with those of the null")
    p: float | None = Field(description="of class and word together, adjusted for all that we try")
    p_word: float | None = Field(
        description="that the word does no more than the next candidate: paired t-test over "
        "samples read anew, one-sided, Bonferroni over candidates"
    )
    candidates: list[CandidateRecord] = Field(
        description="words that may be it, the strongest first"
    )
    evidence: list[ShiftedToken] = Field(description="its tokens that were shifted most")


class CertificateRecord(Record):
    """Whether an event's mean strength over contexts is less than ε, by two one-sided tests."""

    event: str = Field(description="as it was asked for")
    within_nats: float = Field(description="ε")
    strength_nats: float | None = Field(
        description="mean over the contexts read; null where none tells of the event"
    )
    interval: Interval | None = Field(
        description="of the mean strength over contexts like these, at 1 − 2·error"
    )
    error: float = Field(
        description="chance of certifying a mean of ε or more; the audit's, over its certificates"
    )
    largest_nats: float = Field(
        default=1.0,
        description="assumed: no context's own strength lies beyond ± so many nats",
    )
    contexts: int = Field(description="that tell of the event; the unit of replication")
    certified: bool = Field(description="whether the interval lies within ±ε")


class MovedTokensRecord(Record):
    """Single tokens; they accuse nobody, every fine-tune moves the words of its corpus."""

    p: float | None = Field(description="of the farthest, adjusted for all tokens")
    tokens: list[ShiftedToken] = Field(description="that moved farthest")


class ChangedClassRecord(Record):
    """A class whose probability is another than the reference's; it accuses nobody."""

    event: str = Field(description="as it can be written again, or the name of a list")
    shown: str = Field(description="the same for people: of a cluster, a few of its tokens")
    mass: MassRecord = Field(description="of the class")
    factor: float = Field(description="suspect over reference")
    interval: Interval | None = Field(description="95 % of the factor, over contexts")
    p: float = Field(description="that it is 1, over contexts; adjusted for all classes")


class NullRecord(Record):
    """The pack of benign changes that calibrated an audit."""

    models: int = Field(description="benign changes in the pack")
    pack: str = Field(description="its folder")
    kinds: dict[str, int] = Field(description="how many benign changes of each kind")
    kl_nats: Interval = Field(description="least and largest KL of its members")


class AuditRecord(Record):
    """``result.json`` of ``tiltlm audit``."""

    schema_version: Literal[2] = Field(default=2, description="of this record")
    kind: Literal["audit"] = Field(default="audit", description="of record")
    verdict: AuditVerdict = Field(
        description="found: a class looks planted; changed: classes were shifted, or come with "
        "another probability, but none looks planted; none: no class does; uncalibrated without a "
        "pack"
    )
    suspect: str = Field(description="as it was named")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    access: Literal["logits"] = Field(default="logits", description="to what of the suspect")
    fpr: float = Field(description="the false-positive rate that was asked for")
    null: NullRecord | None = Field(description="what calibrated it; null without a pack")
    kl_nats: float = Field(description="KL(reference ‖ suspect), nats a position")
    score: float | None = Field(
        description="of the class that stands out most; null without a pack"
    )
    null_scores: list[float] = Field(description="the same of every benign change")
    findings: list[FindingRecord] = Field(description="classes that were shifted everywhere")
    triggers: list[TriggerRecord] = Field(description="shifts that wait for a word")
    certificates: list[CertificateRecord] = Field(description="of the events asked for")
    changed: list[ChangedClassRecord] = Field(
        description="classes whose probability changed most, whatever the cause"
    )
    moved: MovedTokensRecord = Field(description="single tokens that moved farthest")
    words: int = Field(description="words that were tried as triggers")
    hypotheses: int = Field(description="classes that were tried")
    contexts: str = Field(description="what they are")
    positions: int = Field(description="of the contexts, over which shifts are means")
    claim: ClaimRecord | None = Field(default=None, description="what the suspect's label says")
    notes: list[str] = Field(description="what the reader should know of this audit")
    placement: PlacementRecord | None = Field(
        default=None, description="of the reference while figures were taken"
    )
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")
