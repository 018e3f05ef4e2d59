"""What all records are made of: frozen, versioned, every field explained.

Knows nothing of models: a page or a printed summary is made of records alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]
"""Lower and upper end of an interval."""


class Record(BaseModel):
    """Base of all records: frozen, and nothing is allowed in that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Estimate:
    """A mean over independent units.

    Attributes:
        mean: of the units.
        interval: 95 %; None where the units show no spread to judge by.
    """

    mean: float
    interval: Interval | None
