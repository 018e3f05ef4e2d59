"""``result.json`` of ``tiltlm undo``: what was taken back, how far, and how it comes back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tiltlm.records.audit import AuditRecord
from tiltlm.records.base import Estimate, Interval, PlacementRecord, Record
from tiltlm.records.measure import MeasureRecord

UndoBy = Literal["label", "edit", "train", "decode", "interpolate"]
"""How a tilt was taken back."""

RelapseKind = Literal["kl", "data"]
"""How a model is trained towards the tilt again: on its divergence, or on text that it wrote."""


class LeftRecord(Record):
    """How strongly one event is tilted, before and after."""

    event: str = Field(description="as it can be written again")
    before: Estimate | None = Field(
        description="β̂ of the model against the reference, nats; null without one"
    )
    after: Estimate | None = Field(
        description="the same of the undone model; null without a reference"
    )
    by_audit: Estimate | None = Field(description="the strength in the audit's finding, nats")


class RestoredRecord(Record):
    """Weights put back bit for bit."""

    sha256: str = Field(description="over the base's weights, as the label says it")
    saved_sha256: str = Field(description="over the weights as they were read back from disk")
    exact: bool = Field(description="whether the two are the same")
    changed: list[str] = Field(description="tensors that differed from the base's before")


class SharePoint(Record):
    """One mixture of model and reference."""

    share: float = Field(description="of the model's weights; 0 is the reference")
    strengths: list[Estimate] = Field(description="β̂ of each event, nats")
    kl_nats: float = Field(description="KL(reference ‖ mixture), nats a position")


class RelapsePoint(Record):
    """How far a model is back at the tilt after some steps towards it."""

    by: RelapseKind = Field(description="how it is trained towards the tilt")
    model: Literal["undone", "never tilted"] = Field(description="which of the two")
    step: int = Field(description="steps of training; 0 before any")
    strengths: list[Estimate] = Field(description="β̂ of each event against the reference, nats")


class UndoRecord(Record):
    """``result.json`` of ``tiltlm undo``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["undo"] = Field(default="undo", description="of record")
    by: UndoBy = Field(description="how the tilt was taken back")
    model: str = Field(description="the tilted model, as it was named")
    reference: dict[str, str] | None = Field(
        description="name and SHA-256 of its weights; null without one"
    )
    target: str = Field(description="the tilt that was taken back, as it can be written again")
    left: list[LeftRecord] = Field(description="of every event, on held-out contexts")
    covariance: list[list[float]] = Field(
        description="of the strengths before, over contexts, nats²"
    )
    kl_before_nats: float | None = Field(description="KL(reference ‖ model), nats a position")
    kl_after_nats: float | None = Field(description="KL(reference ‖ undone), nats a position")
    restored: RestoredRecord | None = Field(description="of an undo by label; else null")
    curve: list[SharePoint] = Field(description="of an undo by interpolation; else empty")
    relapse: list[RelapsePoint] = Field(description="how the tilt returns; empty if not tried")
    relapse_rate: float | None = Field(description="learning rate of that training")
    audit_before: AuditRecord | None = Field(description="of the model; null without an audit")
    audit_after: AuditRecord | None = Field(description="of the undone model, the same audit")
    measured_before: MeasureRecord | None = Field(description="of the model against the reference")
    measured_after: MeasureRecord | None = Field(description="of the undone model, the same")
    details: dict[str, Any] = Field(description="what the way of undoing says of itself")
    contexts: str = Field(description="where strengths were estimated")
    held_out_contexts: int = Field(description="how many; the unit of replication")
    seed: int = Field(description="of contexts, their split, and training")
    placement: PlacementRecord | None = Field(default=None, description="of the models")
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    seconds: dict[str, float] = Field(description="of each part")


def interval_of(estimate: Estimate) -> Interval:
    """The interval of an estimate, the mean itself where it has none."""
    return estimate.interval or (estimate.mean, estimate.mean)
