"""How many tokens of text an audit needs, from closed forms."""

from __future__ import annotations

import math

from scipy.special import ndtri

from tiltlm.auditing.text.sequential_test import GRID
from tiltlm.records.plan import Plan


def plan_text(
    strength: float, mass: float, error: float = 0.01, power: float = 0.9, classes: int = 1
) -> Plan:
    """Tokens that the sequential test of an event needs.

    A tilt of β takes mass p to q = p·e^β / (1 − p + p·e^β); a token then tells
    KL(q ‖ p) = q·log(q/p) + (1 − q)·log((1 − q)/(1 − p)) on average. No test of error α stops
    before log(1/α) / KL on average (Wald 1945); mixing over strengths costs the logarithm of their
    number, and looking for any of K classes log K.

    Args:
        strength: β, nats; not 0.
        mass: of the event under the reference, between 0 and 1.
        error: α.
        power: for the test of fixed size.
        classes: K, among which the event is looked for.

    >>> plan_text(0.7033, 0.01).least  # a mass of 1 % doubled
    1177
    """
    odds = mass * math.exp(strength)
    tilted = odds / (1 - mass + odds)
    information = tilted * math.log(tilted / mass)
    information += (1 - tilted) * math.log((1 - tilted) / (1 - mass))
    needed = math.log(1 / error) + math.log(classes)
    # The test of fixed size is two-sided at α / K, by the normal approximation.
    deviation = -ndtri(error / classes / 2) * math.sqrt(mass * (1 - mass))
    deviation += -ndtri(1 - power) * math.sqrt(tilted * (1 - tilted))
    return Plan(
        access="text",
        tilted_mass=tilted,
        information=information,
        tokens=math.ceil((needed + math.log(2 * len(GRID))) / information),
        least=math.ceil(needed / information),
        fixed=math.ceil((deviation / (tilted - mass)) ** 2),
    )
