"""What a suspect's label says of it, beside what was found; a part of each audit's record."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltlm.records.base import Record


class ClaimedEvent(Record):
    """An event that a label says was tilted."""

    event: str = Field(description="as the label writes it, at most 200 characters")
    strength_nats: float | None = Field(description="that the label says; null where it says none")
    outcome: Literal["agrees", "contradicts", "not found", "not judged"] = Field(
        description="whether a class like it was found, and shifted the same way; not judged: "
        "there is no telling, without a pack or for such an event"
    )
    found: str | None = Field(description="the class that was found")
    found_nats: float | None = Field(description="by which that was shifted")


class ClaimRecord(Record):
    """A label of the suspect's. Nothing in an audit goes by it."""

    file: str = Field(description="that holds the label")
    unreadable: str | None = Field(description="why it cannot be read; null where it can")
    target: str | None = Field(description="as the label writes it, at most 200 characters")
    by: str | None = Field(description="how it says that the target was realised")
    base: str | None = Field(description="the name that it gives to the base")
    reference: Literal["the same", "another", "not said"] = Field(
        description="whether that base has the weights of the audit's reference, by its SHA-256"
    )
    events: list[ClaimedEvent] = Field(description="the first that it names, at most eight")
    unclaimed: list[str] = Field(description="classes that were found and that it does not name")
