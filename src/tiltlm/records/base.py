"""The records that a program reads: one for a run. Frozen, versioned, every field explained."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]


class Record(BaseModel):
    """Base of all records: frozen, and nothing that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over independent units (None where they show no spread)."""

    mean: float
    interval: Interval | None
