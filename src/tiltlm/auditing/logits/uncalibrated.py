"""The search for classes where nothing is known of benign changes: no p-values, no accusation."""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.null_distribution import RESIDUAL
from tiltlm.auditing.logits.finding import Finding, repeats, simplest
from tiltlm.auditing.search import find_one_by_one, take_distinct
from tiltlm.auditing.shifts.filters import ResidualFilter, residual_spread
from tiltlm.auditing.thresholds import MAX_FINDINGS, MIN_STRENGTH_NATS, MIN_UNCALIBRATED_SCORE


def find_uncalibrated(residual_filter: ResidualFilter, shift: Array) -> list[Finding]:
    """Classes found one after another, by strengths over their own standard errors.

    Args:
        residual_filter: of the classes to try.
        shift: (V,) mean log-ratios, nats.

    Returns:
        at most `MAX_FINDINGS` classes, none with a p-value.
    """

    def clearest(remainder: Array) -> Finding | None:
        finding = best_uncalibrated(residual_filter, remainder)
        clear = finding.score >= MIN_UNCALIBRATED_SCORE
        return finding if clear and abs(finding.strength) >= MIN_STRENGTH_NATS else None

    def without(remainder: Array, finding: Finding) -> Array:
        mask = residual_filter.class_mask(finding.index)
        return np.asarray(remainder - finding.strength * mask)

    return take_distinct(find_one_by_one(shift, clearest, without, MAX_FINDINGS), alike=repeats)


def best_uncalibrated(residual_filter: ResidualFilter, shift: Array) -> Finding:
    """The class that a shift by itself speaks most for.

    Args:
        residual_filter: of the classes to try.
        shift: (V,) mean log-ratios, nats.

    Returns:
        the class with the largest strength in units of its standard error, which is taken from the
        spread of the residuals; no interval and no p-value.
    """
    residual = residual_filter.residual(shift[None])
    strengths, hypotheses = residual_filter.strengths_of(residual)[0], residual_filter.hypotheses
    scores = np.abs(strengths) * np.sqrt(hypotheses.sizes) / residual_spread(residual)[0]
    index = simplest(np.where(residual_filter.testable, scores, 0.0), hypotheses)
    return Finding.of(hypotheses, RESIDUAL, index, float(strengths[index]), float(scores[index]))
