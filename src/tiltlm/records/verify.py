"""``result.json`` of ``tiltlm verify``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Interval, PlacementRecord, Record

Verdict = Literal["tilt", "base", "neither", "undecided"]


class HypothesisRecord(Record):
    """One thing that the server may have been serving."""

    name: str = Field(description="what it is")
    log10_e: float | None = Field(
        description="the most evidence that there was against it, as a power of ten; null where a "
        "token came that it never draws"
    )
    ruled_out: bool = Field(description="whether that reached 1 / the error rate")
    log_likelihood_nats: float | None = Field(
        description="of all tokens, less that of the tilt; null where one is impossible"
    )


class DrawRecord(Record):
    """One token that the server drew."""

    prompt: int = Field(description="number of the prompt that it came after")
    token_ids: list[int] = Field(description="the tokens that its text may stand for")


class ShownRecord(Record):
    """What the log-probabilities say that the server shows beside its tokens."""

    positions: int = Field(description="at which some were shown")
    off_tilt_nats: float = Field(description="median distance from the tilt's own, over tokens")
    off_base_nats: float = Field(description="median distance from the base's own, over tokens")
    strength: float | None = Field(
        description="of the tilt that fits them best, in units of the labelled one; null where "
        "they do not tell"
    )
    interval: Interval | None = Field(description="95 %, Student over positions")


class VerifyRecord(Record):
    """``result.json`` of ``tiltlm verify``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["verify"] = Field(default="verify", description="of record")
    verdict: Verdict = Field(
        description="what is served: the tilt, the base, or neither; or undecided"
    )
    recognised: str | None = Field(
        description="what is served where that has a name; null where it has none, or nothing is "
        "decided"
    )
    sentence: str = Field(description="the verdict in words")
    served: str = Field(description="the model at the endpoint, or here, as it was named")
    endpoint: str | None = Field(description="the server's address; null for a model here")
    label: str | None = Field(description="the folder whose label it was held against")
    target: str = Field(description="of the label, or as it was given")
    base: dict[str, str] = Field(description="name and SHA-256 of its weights")
    error: float = Field(description="probability that what is served is ruled out")
    tokens: int = Field(description="that the server drew, one a request")
    budget: int = Field(description="tokens to ask for at most")
    failed_requests: int = Field(description="that got no answer after all tries")
    unread: int = Field(description="answers whose text is no token of the base's")
    earlier_tokens: int = Field(description="of these, how many an earlier verification had read")
    least_tokens: float | None = Field(
        description="mean number that any test would need at the best mix of prompts between what "
        "is served and the rival that takes longest (Wald); null where nothing is decided"
    )
    rival: str | None = Field(description="that rival")
    told_apart_at: int | None = Field(
        description="tokens after which tilt or base was ruled out; null while both are open"
    )
    told_apart_least: float | None = Field(
        description="mean number that any test would need to tell these two apart; null where "
        "neither is served"
    )
    strength: float = Field(
        description="of the tilt, likeliest, in units of the labelled one: 1 the tilt, 0 the base"
    )
    interval: Interval = Field(
        description="of the strength: 95 % confidence sequence, which holds whenever one stops"
    )
    strength_nats: float | None = Field(
        description="the same in nats, where the target has one strength"
    )
    interval_nats: Interval | None = Field(description="of that")
    shown: ShownRecord | None = Field(description="null where no log-probabilities are shown")
    hypotheses: list[HypothesisRecord] = Field(description="all that were tried")
    course: list[tuple[int, float, float]] = Field(
        description="tokens read, and evidence against tilt and base then, as powers of ten"
    )
    draws: list[DrawRecord] = Field(description="every token, so that the test can be gone on with")
    prompts: int = Field(description="that the server could be asked after")
    prompts_sha256: str = Field(description="over their tokens, and the target's text")
    partial: bool = Field(description="cut off before it was decided and the budget was spent")
    notes: list[str] = Field(description="what the reader should know")
    placement: PlacementRecord | None = Field(default=None, description="of the base")
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")
