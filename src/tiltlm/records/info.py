"""What `tiltlm info` says: versions, devices, what would be chosen here, and what is missing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Record


class DeviceRecord(Record):
    """A device that models can lie on."""

    name: str = Field(description="as --device takes it")
    description: str = Field(description="as its driver calls it")
    memory_bytes: int | None = Field(description="in all; null where it is the machine's own")
    free_bytes: int = Field(description="that can still be taken")
    dtypes: list[str] = Field(description="precisions that it computes in")


class ChoiceRecord(Record):
    """What ``auto`` comes to, and why."""

    option: str = Field(description="the option that was left open")
    value: str = Field(description="what it comes to")
    reason: str = Field(description="why")


class FeatureRecord(Record):
    """Something that needs more than what is always installed."""

    name: str = Field(description="what it is for")
    needs: str = Field(description="the package that it needs")
    installed: bool = Field(description="whether that is here")
    how: str = Field(description="the command that installs it")


class InfoRecord(Record):
    """All that ``tiltlm info`` says."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["info"] = Field(default="info", description="of record")
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    devices: list[DeviceRecord] = Field(description="that models can lie on")
    choices: list[ChoiceRecord] = Field(description="of what an option leaves open")
    threads: int = Field(description="of the processor that torch uses")
    cache: str = Field(description="folder of converted models and own samples")
    cache_bytes: int = Field(description="its size")
    cache_files: int = Field(description="how many files it holds")
    features: list[FeatureRecord] = Field(description="and what they need")
