"""What ``tiltlm challenge`` writes and says: models to judge, sealed answers, scores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Interval, Record

TiltWay = Literal["edit", "train", "text", "trigger"]
"""How a model of a challenge is tilted: in closed form; the head trained; fine-tuned on texts under
the tilt; all weights trained towards a tilt that waits for a word."""

DecoyKind = Literal["norms", "embedding", "temperature", "soup", "last layer", "cast"]
"""What is done to a model of a challenge that is not tilted; no null pack makes any of these."""


class RangesRecord(Record):
    """From what the models of a challenge were drawn; everybody may know it."""

    tilted_share: float = Field(description="chance with which a model is tilted")
    strengths_nats: tuple[float, float] = Field(description="least and largest size of a strength")
    masses: tuple[float, float] = Field(
        description="least and largest probability of an event under the reference"
    )
    ways: list[TiltWay] = Field(description="how a model may be tilted")
    decoys: list[DecoyKind] = Field(description="what else may be done to one")
    events: str = Field(description="what events are drawn from, in words")


class SealedModelRecord(Record):
    """One model of a challenge, and what its maker is held to."""

    name: str = Field(description="of its folder")
    commitment: str = Field(description="SHA-256 over salt and answer")
    files: dict[str, str] = Field(description="SHA-256 of its files, by name")


class ChallengeRecord(Record):
    """``challenge.json``: what is given to whoever judges."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["challenge"] = Field(default="challenge", description="of record")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    ranges: RangesRecord = Field(description="from what the models were drawn")
    models: list[SealedModelRecord] = Field(description="to be judged")
    tokens: int = Field(description="rows of the models' heads")
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")


class TruthRecord(Record):
    """What was really done to one model."""

    name: str = Field(description="of its folder")
    tilted: bool = Field(description="whether it was tilted")
    event: str | None = Field(default=None, description="towards which event")
    token_ids: list[int] = Field(default_factory=list, description="of the event")
    strength_nats: float | None = Field(default=None, description="that was wished")
    way: TiltWay | None = Field(default=None, description="how it was tilted")
    trigger: str | None = Field(default=None, description="the word that it waits for")
    gap_closed: float | None = Field(default=None, description="of the wished tilt, held out")
    decoy: DecoyKind | None = Field(default=None, description="what else was done to it")


class OpenedRecord(Record):
    """An answer with the salt that opens its commitment."""

    salt: str = Field(description="32 random bytes, as hexadecimal digits")
    truth: TruthRecord = Field(description="what was done")


class ChallengeKeyRecord(Record):
    """What the maker of a challenge keeps until all answers are in."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["challenge key"] = Field(default="challenge key", description="of record")
    seed: int = Field(description="of all that was drawn")
    answers: list[OpenedRecord] = Field(description="one a model")


class AnswerRecord(Record):
    """What somebody says of one model."""

    tilted: float = Field(ge=0, le=1, description="how likely it is that the model is tilted")
    event: str | None = Field(default=None, description="towards which event, as text")
    token_ids: list[int] | None = Field(default=None, description="the event's tokens instead")
    strength_nats: float | None = Field(default=None, description="how strongly")
    trigger: str | None = Field(default=None, description="the word that it waits for")


class AnswersRecord(Record):
    """What somebody says of all models: a file of answers, in YAML or JSON."""

    who: str = Field(default="somebody", description="a person or a tool, by name")
    models: dict[str, AnswerRecord] = Field(description="by name; one left out counts as a half")


class JudgedRecord(Record):
    """One answer beside the truth."""

    truth: TruthRecord = Field(description="what was done")
    said: float = Field(description="how likely a tilt was said to be")
    log_score_nats: float = Field(description="log of the probability given to what is so; 0 best")
    jaccard: float | None = Field(description="of named and true tokens; null where not tilted")
    strength_error_nats: float | None = Field(description="said less true; null if not both")
    trigger_named: bool | None = Field(description="whether the word is the right one")


class StandingRecord(Record):
    """One set of answers, scored."""

    who: str = Field(description="a person or a tool")
    judged: list[JudgedRecord] = Field(description="one a model")
    log_score_nats: float = Field(description="mean over models; saying 0.5 everywhere gives −0.69")
    log_score_interval: Interval | None = Field(description="95 %, Student, over models")
    found: int = Field(description="tilted models that were accused (more than a half)")
    tilted: int = Field(description="tilted models")
    accused_wrongly: int = Field(description="decoys that were accused")
    decoys: int = Field(description="models that were not tilted")
    jaccard: float | None = Field(description="mean over tilted models; unnamed ones count 0")
    brier: float = Field(description="mean square of said less true; 0 is best")


class ChallengeScoreRecord(Record):
    """``score.json``: several sets of answers, the best first."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["challenge score"] = Field(default="challenge score", description="of record")
    challenge: str = Field(description="its folder")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    standings: list[StandingRecord] = Field(description="by log score")
