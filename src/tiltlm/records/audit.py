"""``result.json`` of `tiltlm audit`, and what `tiltlm null build` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from tiltlm.records.base import Interval, Record


class ShiftedToken(Record):
    """One token."""

    id: int
    text: str
    strength_nats: float = Field(description="its shift outside the head's column space")
    reference: float = Field(description="mean probability")
    suspect: float = Field(description="mean probability")


class ShiftedContext(Record):
    """One context, up to where the shift of a class is largest."""

    text: str
    strength_nats: float = Field(description="of the class in this context")


class MassRecord(Record):
    """Mean probability of a class at the audit's contexts."""

    reference: float
    suspect: float


class Histogram(Record):
    """How the tokens of a class were shifted, and how all others."""

    edges: list[float] = Field(description="nats; one more than there are bins")
    inside: list[float] = Field(description="share of the class's tokens in each bin")
    others: list[float] = Field(description="share of all other tokens")


class FindingRecord(Record):
    """A class of tokens that was shifted."""

    event: str = Field(description="as it can be written again, or the name of a list")
    shown: str = Field(description="the same for people: of a cluster, a few of its tokens")
    tokens: int
    token_ids: list[int]
    seen: Literal["outside", "inside"] = Field(
        description="outside the head's column space (by the head) or inside it (by the body)"
    )
    strength_nats: float
    interval: Interval | None = Field(
        description="95 %, the unit of replication is the benign change; null without a pack"
    )
    halves: tuple[float, float] = Field(description="strengths in either half of the contexts")
    mass: MassRecord
    where: str = Field(description="everywhere, or in which share of the contexts")
    p: float | None = Field(description="adjusted for all hypotheses; null without a pack")
    evidence: list[ShiftedToken]
    contexts: list[ShiftedContext]
    histogram: Histogram


class CandidateRecord(Record):
    """A word that may be the trigger."""

    word: str
    strength_nats: float = Field(description="by which the class rises after it, alone in a text")
    interval: Interval | None = Field(description="95 %, Student, over the samples it was put in")


class TriggerRecord(Record):
    """A class of tokens that is shifted where a word came before."""

    event: str
    tokens: int
    token_ids: list[int]
    word: str
    strength_nats: float
    interval: Interval | None
    score: float = Field(description="comparable with those of the null")
    p: float | None = Field(description="of class and word together, adjusted for all that we try")
    p_word: float | None = Field(
        description="that the word does no more than the next candidate: paired t-test over "
        "samples read anew, one-sided, Bonferroni over candidates"
    )
    candidates: list[CandidateRecord]
    evidence: list[ShiftedToken]


class CertificateRecord(Record):
    """Whether an event is tilted by less than ε, by two one-sided tests."""

    event: str
    within_nats: float = Field(description="ε")
    strength_nats: float
    interval: Interval | None = Field(description="at 1 − 2·error, Student, over contexts")
    error: float = Field(description="chance of certifying a tilt of ε or more")
    contexts: int
    certified: bool


class MovedTokensRecord(Record):
    """Single tokens; they accuse nobody, every fine-tune moves the words of its corpus."""

    p: float | None = Field(description="of the farthest, adjusted for all tokens")
    tokens: list[ShiftedToken]


class NullRecord(Record):
    """What calibrated the audit."""

    models: int
    pack: str
    kinds: dict[str, int]
    kl_nats: Interval = Field(description="least and largest KL of its members")


class AuditRecord(Record):
    """``result.json`` of ``tiltlm audit``."""

    schema_version: Literal[1] = 1
    kind: Literal["audit"] = "audit"
    verdict: Literal["found", "none", "uncalibrated"]
    suspect: str
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    access: Literal["logits"] = "logits"
    fpr: float = Field(description="the false-positive rate that was asked for")
    null: NullRecord | None
    kl_nats: float = Field(description="KL(reference ‖ suspect), nats a position")
    score: float | None = Field(
        description="of the class that stands out most; null without a pack"
    )
    null_scores: list[float] = Field(description="the same of every benign change")
    findings: list[FindingRecord]
    triggers: list[TriggerRecord] = Field(description="shifts that wait for a word")
    certificates: list[CertificateRecord]
    moved: MovedTokensRecord
    words: int = Field(description="words that were tried as triggers")
    hypotheses: int = Field(description="classes that were tried")
    contexts: str
    positions: int = Field(description="of the contexts, over which shifts are means")
    notes: list[str] = Field(description="what the reader should know of this audit")
    versions: dict[str, str]
    seconds: dict[str, float]


class NullBuilt(Record):
    """What ``tiltlm null build`` made."""

    kind: Literal["null"] = "null"
    pack: str
    reference: dict[str, str]
    models: int
    kinds: dict[str, int]
    kl_nats: dict[str, float] = Field(description="quantiles of the members' KL")
    contexts: str
    seconds: float
    redrawn: dict[str, Any] = Field(description="treatments that were drawn again, and why")


class TextFindingRecord(Record):
    """A class of tokens whose rate in a suspect's text is not the reference's."""

    event: str
    tokens: int
    token_ids: list[int]
    hits: int
    expected: float = Field(description="hits, had the reference gone on from the same texts")
    strength_nats: float
    interval: Interval = Field(description="95 % confidence sequence: holds whenever one stops")
    tolerance_nats: float = Field(description="tilts up to this are not accused")
    e_value: float
    p: float = Field(
        description="anytime-valid, adjusted for all classes (Bonferroni); with a pack twice that, "
        "since half of the rate is for benign changes beyond the tolerance"
    )


class TextAuditRecord(Record):
    """``result.json`` of ``tiltlm audit --access text``."""

    schema_version: Literal[1] = 1
    kind: Literal["audit"] = "audit"
    access: Literal["text"] = "text"
    verdict: Literal["found", "none"]
    partial: bool = Field(description="stopped before it was decided or the budget was spent")
    suspect: str
    reference: dict[str, str]
    fpr: float
    null: NullRecord | None
    findings: list[TextFindingRecord]
    course: list[tuple[int, float]] = Field(
        description="tokens read, and the logarithm to base 10 of the largest e-value then"
    )
    decided_at: float = Field(description="where that decides: log10 of classes over α")
    classes: int
    tokens_read: int
    answers: int
    empty_answers: int = Field(description="refused or empty; they count as answers")
    budget: int
    least_tokens: int | None = Field(
        description="that Wald's bound gives for the tilt found, if its class had been known"
    )
    notes: list[str]
    versions: dict[str, str]
    seconds: dict[str, float]


class SeenToken(Record):
    """One token of a class, where it was among the likeliest."""

    id: int
    text: str
    strength_nats: float = Field(description="mean log-ratio less that of the others at its places")
    places: int = Field(description="at which it was shown")


class LogprobsFindingRecord(Record):
    """A class of tokens that was shifted, as far as the likeliest tokens show."""

    event: str
    shown: str = Field(description="the same for people: of a cluster, a few of its tokens")
    tokens: int
    token_ids: list[int]
    strength_nats: float
    interval: Interval = Field(
        description="95 %; the units of replication are the context and, with a pack, the benign "
        "change"
    )
    mass_reference: float = Field(description="mean probability of the class, all tokens counted")
    seen_share: float = Field(
        description="of that, how much was at places where the suspect showed the token; the "
        "rest is censored"
    )
    p: float | None = Field(description="adjusted for all classes; null without a pack")
    evidence: list[SeenToken]
    contexts: list[ShiftedContext]


class LogprobsAuditRecord(Record):
    """``result.json`` of ``tiltlm audit --access logprobs``."""

    schema_version: Literal[1] = 1
    kind: Literal["audit"] = "audit"
    access: Literal["logprobs"] = "logprobs"
    verdict: Literal["found", "none", "uncalibrated"]
    partial: bool = Field(description="stopped before the budget was spent")
    suspect: str
    reference: dict[str, str]
    fpr: float
    null: NullRecord | None
    score: float | None = Field(
        description="of the class that stands out most; null without a pack"
    )
    null_scores: list[float] = Field(description="the same of every benign change")
    findings: list[LogprobsFindingRecord]
    classes: int = Field(description="on which there was enough to judge them by")
    top: int = Field(description="log-probabilities a position")
    noise_nats: float | None = Field(
        description="standard deviation of a log-probability asked for again; null: not seen"
    )
    places: int = Field(description="at which log-probabilities came; of an endpoint, requests")
    contexts: int = Field(description="that these are in")
    budget: int
    seen_mass: float = Field(description="share of the reference's probability on tokens shown")
    notes: list[str]
    versions: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What it takes to see a tilt.

    Attributes:
        access: to what.
        tilted_mass: of the event in a model with that tilt.
        information: what a token tells, nats: KL between tilted and untilted hits.
        tokens: to read.
        least: that any test of the same error needs on average (Wald).
        fixed: that a test of fixed size needs at this power.
    """

    access: str
    tilted_mass: float
    information: float
    tokens: int
    least: int
    fixed: int
