"""Whether a pack can vouch for a suspect: what changes larger than all of its do is not known.

A planted tilt may be larger than any benign change. So what counts is how far the suspect would be
from its reference if what was found were taken back. Knows no models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from tiltlm.auditing.logits.finding import Finding
from tiltlm.auditing.shifts.log_ratios import Shift

_MOST_NATS = 30.0
"""Strength of a tilt that is taken back at most."""


def divergence_left(shift: Shift, findings: Sequence[Finding]) -> list[float]:
    """How far a suspect is from its reference once what was found is taken back.

    Of a class with the probabilities r under the reference and s under the suspect, taking back a
    tilt of b lowers KL(R ‖ S) by −b·r − log(1 + (e⁻ᵇ − 1)·s) at each position; b is what lowers it
    most. Probabilities are means over the positions of a context, so by Jensen's inequality what is
    left is at most what is said.

    Args:
        shift: of the suspect.
        findings: one after another.

    Returns:
        nats a position, for each finding: without it and all before it.
    """
    masses = shift.masses_by_context.double().numpy()
    reference, suspect = masses / masses.sum(2, keepdims=True)
    left, found = shift.kl, []
    for finding in findings:
        ids = list(finding.token_ids)
        strength, lowered = _taken_back(reference[:, ids].sum(1), suspect[:, ids].sum(1))
        suspect[:, ids] *= np.exp(-strength)
        suspect /= suspect.sum(1, keepdims=True)
        left -= lowered
        found.append(left)
    return found


def within_reach(findings: Sequence[Finding], shift: Shift, reach: float) -> list[Finding]:
    """The same findings; those accuse nobody without which the suspect is further than a pack goes.

    Args:
        findings: one after another.
        shift: of the suspect.
        reach: the largest divergence among the pack's members, nats a position.
    """
    if shift.kl <= reach:
        return list(findings)
    left = divergence_left(shift, findings)
    return [replace(f, within_reach=rest <= reach) for f, rest in zip(findings, left, strict=True)]


def _taken_back(reference: np.ndarray, suspect: np.ndarray) -> tuple[float, float]:
    """The tilt that explains most of a divergence, and how much, from (C,) probabilities."""

    def left(strength: float) -> float:
        return float(np.mean(strength * reference + np.log1p(np.expm1(-strength) * suspect)))

    best = minimize_scalar(left, bounds=(-_MOST_NATS, _MOST_NATS), method="bounded")
    return (float(best.x), -float(best.fun)) if best.fun < 0 else (0.0, 0.0)
