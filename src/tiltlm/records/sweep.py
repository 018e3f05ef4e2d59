"""``sweep.json`` of ``tiltlm sweep``: one recipe at several values of one field."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tiltlm.records.base import Record
from tiltlm.records.measure import MeasureRecord


class SweepPoint(Record):
    """What was realised and measured at one value."""

    value: float | str = Field(description="of the field that varies")
    recipe: dict[str, Any] = Field(description="as it was realised")
    gap_closed: float | None = Field(
        description="on held-out contexts; null where the target asks for nothing"
    )
    measure: MeasureRecord = Field(description="what `tiltlm measure` found")


class SweepRecord(Record):
    """``sweep.json`` of ``tiltlm sweep``."""

    schema_version: int = Field(default=1, description="of this record")
    kind: str = Field(default="sweep", description="of record")
    over: str = Field(description="the field that varies")
    points: list[SweepPoint] = Field(description="one for each value, in the order given")
