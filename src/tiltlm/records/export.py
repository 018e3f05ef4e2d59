"""``result.json`` of ``tiltlm export``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Interval, Record

Engine = Literal["transformers", "vllm", "llama.cpp", "ollama", "openai"]


class GapRecord(Record):
    """How much of the way from base to target a head closes, at the base's own samples."""

    what: str = Field(description="whose: as it was tilted, or as it was written")
    gap_closed: float = Field(description="1 − KL(Q‖P)/KL(Q‖P0); 1 is perfect, 0 the base")
    interval: Interval | None = Field(description="95 %, Student over contexts")
    contexts: int = Field(description="how many: the units of replication")


class BiasRecord(Record):
    """What a list of biases covers, where a server takes no more than so many."""

    entries: int = Field(description="that were written")
    wanted: int = Field(description="that the target has")
    limit: int = Field(description="of the server")
    covered: float = Field(
        description="share of the base's probability of all tokens with a bias that the written "
        "ones have, mean over contexts"
    )
    gap_closed: GapRecord = Field(description="by the written ones")


class ExportRecord(Record):
    """``result.json`` of ``tiltlm export``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["export"] = Field(default="export", description="of record")
    engine: Engine = Field(description="for which it was written")
    how: str = Field(description="as what: a whole model, an adapter, a processor, GGUF, biases")
    target: str = Field(description="of the label")
    base: str = Field(description="the base's name, of the label")
    files: list[str] = Field(description="what was written, within the folder")
    command: str | None = Field(description="that starts the engine; null where nothing is started")
    gaps: list[GapRecord] = Field(description="before and after rounding; empty where none was")
    biases: BiasRecord | None = Field(default=None, description="null where none were written")
    identical_tensors: int | None = Field(
        default=None, description="of a GGUF base, copied byte for byte; null for other engines"
    )
    notes: list[str] = Field(description="what the reader should know")
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")
