"""What ``tiltlm audit plan`` says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What it takes to see a tilt.

    Attributes:
        access: to what of the suspect.
        tilted_mass: of the event in a model with that tilt.
        information: what a token tells, nats: KL between tilted and untilted hits.
        tokens: to read.
        least: tokens that any test of the same error needs on average (Wald).
        fixed: tokens that a test of fixed size needs at this power.
    """

    access: str
    tilted_mass: float
    information: float
    tokens: int
    least: int
    fixed: int
