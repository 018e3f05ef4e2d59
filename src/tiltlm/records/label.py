"""What ``tiltlm label`` says: of a label and the files that it speaks for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Record

FaultKind = Literal[
    "changed file",
    "missing file",
    "unlisted weights",
    "edited label",
    "another model",
    "missing link",
    "no hashes",
    "unsigned",
    "wrong key",
    "bad signature",
    "changed since signed",
]
"""What can be wrong with a label and its files."""

SignatureState = Literal["none", "not checked", "valid", "invalid"]
"""What is known of a folder's signature."""


class FaultRecord(Record):
    """One thing that is not as the label or its signature says."""

    kind: FaultKind = Field(description="of fault")
    where: str = Field(description="the file, or the step of the chain")
    what: str = Field(description="in one sentence")


class StepRecord(Record):
    """One step of the chain, for people."""

    number: int = Field(description="from 1")
    operation: str = Field(description="what was done")
    sentence: str = Field(description="the same in words")
    target: str | None = Field(description="of a tilt; else null")
    by: str | None = Field(description="the way it was done")
    base: str | None = Field(description="the model that it was done to, with its SHA-256")
    measured: dict[str, str] = Field(description="its effect, each figure in words")
    detect: str | None = Field(description="a command that tells of it")
    undo: str | None = Field(description="a command that takes it back")
    files: int = Field(description="how many it left")


class LabelRecord(Record):
    """What ``tiltlm label show`` and ``tiltlm label verify`` say."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["label"] = Field(default="label", description="of record")
    folder: str = Field(description="that holds the label")
    verdict: Literal["whole", "broken"] = Field(
        description="whole: every file, link and signature is as the label says"
    )
    undone: bool = Field(description="whether the tilt was taken back since")
    steps: list[StepRecord] = Field(description="all that was done to the model, oldest first")
    files: int = Field(description="that were compared with their hashes")
    signed_by: str | None = Field(
        description="fingerprint of the key in the signature; null where there is none"
    )
    signature: SignatureState = Field(description="not checked where no public key was given")
    faults: list[FaultRecord] = Field(description="what is not as it should be")


class SignedRecord(Record):
    """What ``tiltlm label sign`` says."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["signed"] = Field(default="signed", description="of record")
    signature: str = Field(description="the file that was written")
    algorithm: str = Field(description="of the key")
    key: str = Field(description="fingerprint of the public key")
    files: int = Field(description="that the signature covers")


class PushedRecord(Record):
    """What ``tiltlm push`` says."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["pushed"] = Field(default="pushed", description="of record")
    repository: str = Field(description="on the Hub")
    url: str = Field(description="of what was uploaded")
    commit: str = Field(description="that the Hub made of it")
    files: int = Field(description="that were uploaded")
