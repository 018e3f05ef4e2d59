"""``result.json`` of ``tiltlm tilt``: how close a realisation came to its target."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tiltlm.records.base import Interval, PlacementRecord, Record

By = Literal["decode", "edit", "train"]
"""How a target was realised."""


class EstimateRecord(Record):
    """A mean over positions, with its interval over contexts."""

    mean: float = Field(description="over all positions")
    interval: Interval | None = Field(description="95 %, of a ratio over contexts")


class FidelityRecord(Record):
    """How close the model comes to its target, on held-out contexts."""

    gap_closed: float = Field(
        description="1 − KL(Q‖P)/KL(Q‖P0): 1 is perfect, 0 is the base, negative is worse than it"
    )
    interval: Interval | None = Field(description="95 %, of a ratio over contexts")
    kl_target_model_nats: float = Field(description="KL(Q‖P), nats a position")
    kl_target_base_nats: float = Field(description="KL(Q‖P0), nats a position")


class EventMassRecord(Record):
    """P(event | context), mean over positions."""

    base: float = Field(description="under the base")
    target: float = Field(description="under the exact target")
    model: float = Field(description="under the tilted model")


class EventDetailRecord(Record):
    """P(event | context) of one event, mean over positions, with intervals."""

    event: str = Field(description="as it can be written again")
    base: EstimateRecord = Field(description="under the base")
    target: EstimateRecord = Field(description="under the exact target")
    model: EstimateRecord = Field(description="under the tilted model")


class TiltRecord(Record):
    """``result.json`` of ``tiltlm tilt``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["tilt"] = Field(default="tilt", description="of record")
    by: By = Field(description="how it was realised")
    target: str = Field(description="as it can be written again")
    sentence: str = Field(description="the target in words")
    fidelity: FidelityRecord = Field(description="how close the model comes to the target")
    event_mass: EventMassRecord | None = Field(
        description="of the first event; null for targets about strings"
    )
    events: list[EventDetailRecord] = Field(description="of every event")
    collateral_nats: float | None = Field(
        description="KL of base to model, both given no event: what should not have moved; nats"
    )
    leakage_nats: float | None = Field(
        description="KL of base to model where a trigger is not met; null without a trigger"
    )
    strengths: list[float] | None = Field(description="fitted strengths of a match, nats")
    details: dict[str, Any] = Field(description="what the realisation says of itself")
    contexts: str = Field(description="what the held-out contexts are")
    held_out_contexts: int = Field(description="how many; the unit of replication")
    held_out_positions: int = Field(description="how many, over all of these contexts")
    base: dict[str, str] = Field(description="name and SHA-256 of the base's weights")
    seed: int = Field(description="of contexts, their split, and training")
    placement: PlacementRecord | None = Field(
        default=None, description="of the model while it was realised and measured"
    )
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")
