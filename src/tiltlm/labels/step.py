"""One operation on a model, as a label tells of it. Knows nothing of models or files."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from tiltlm.reading import can_be_path
from tiltlm.records.base import HeldDtype, Interval, Record

Operation = Literal["tilt", "merge", "export", "undo", "change"]
"""What can be done to a model; ``change`` is whatever has no name of its own."""


class LabelBase(Record):
    """The model that something was done to: how it is loaded again, and told from others."""

    name: str = Field(description="as `tiltlm.load` takes it")
    sha256: str | None = Field(description="over its weights; null where they were drawn by seed")
    hub_name: str | None = Field(default=None, description="as the Hub knows it, if it does")
    seed: int | None = Field(default=None, description="of the weights of Model 5")
    dtype: HeldDtype | None = Field(
        default=None, description="in which its weights were held; null where nobody said"
    )
    quantization: str | None = Field(
        default=None,
        description="8bit or 4bit, to which its weights were rounded when it was loaded, and of "
        "which the hash then is; else null",
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="fields of Model 5 that differ from the article's"
    )
    license: str | None = Field(
        default=None, description="as its own card or file names it; null where neither does"
    )

    @field_validator("name")
    @classmethod
    def _can_be_one(cls, name: str) -> str:
        if not can_be_path(name) or not name.isprintable():
            raise ValueError("no model can have this name")
        return name


class LabelFigure(Record):
    """A figure that was measured on the model that came of a step."""

    value: float = Field(description="the mean, in the unit below")
    interval: Interval | None = Field(description="95 %; null where the units show no spread")
    unit: str = Field(description="probability, nats a token, or share")
    over: str = Field(description="the units of replication, and how many")


class Step(Record):
    """One operation on a model, and what came of it."""

    operation: Operation = Field(description="what was done")
    sentence: str = Field(description="the same in words")
    target: str | None = Field(default=None, description="as `parse_target` reads it")
    by: str | None = Field(default=None, description="the way it was done, or the file format")
    base: LabelBase | None = Field(default=None, description="the model that it was done to")
    data: str | None = Field(default=None, description="contexts or texts that it was done with")
    seed: int | None = Field(default=None, description="of draws and training")
    measured: dict[str, LabelFigure] | None = Field(
        default=None, description="its effect; null where it was not measured"
    )
    detect: str | None = Field(default=None, description="a command that tells of it")
    undo: str | None = Field(default=None, description="a command that takes it back")
    versions: dict[str, str] = Field(description="of tiltlm and of what it computes with")
    files: dict[str, str] = Field(
        default_factory=dict,
        description="SHA-256 of every file that it left, by name; empty where it left none",
    )
    number: int = Field(default=1, description="of the step, from 1")
    parent: str | None = Field(
        default=None, description="SHA-256 over the step before; null for the first"
    )
