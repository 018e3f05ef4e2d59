"""What all records are made of: frozen, versioned, every field explained.

Knows nothing of models: a page or a printed summary is made of records alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float]
"""Lower and upper end of an interval."""

HeldDtype = Literal["float32", "float64", "bfloat16", "float16"]
"""How weights are held."""


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


class PlacementRecord(Record):
    """Where a model lay and how its weights were held while figures were taken."""

    device: str = Field(description="cpu, cuda or mps")
    device_name: str | None = Field(default=None, description="as the driver calls a GPU")
    devices: int = Field(default=1, description="over how many it was spread")
    dtype: HeldDtype = Field(description="of the weights")
    quantization: str | None = Field(default=None, description="8bit, 4bit or another's name")
