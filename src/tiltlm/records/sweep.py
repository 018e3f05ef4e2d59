"""Sweep."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tiltlm.records.base import Record
from tiltlm.records.measure import MeasureRecord


class SweepPoint(Record):
    """One value."""

    value: float | str
    recipe: dict[str, Any] = Field(description="as it was realised")
    gap_closed: float | None = Field(description="held out; None where nothing was asked for")
    measure: MeasureRecord


class SweepRecord(Record):
    """``sweep.json``."""

    schema_version: int = 1
    kind: str = "sweep"
    over: str = Field(description="the field")
    points: list[SweepPoint]
