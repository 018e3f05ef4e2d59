"""How like a planted tilt a class's shift is, where only the likeliest tokens are seen.

A tilt raises its class alike wherever it could come; what a new text does depends on the context.
So the strength of a class is compared with how far it differs from context to context, once what
errors of regression make of that is taken off. Knows no models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.logprobs.ranking import RankedClass
from tiltlm.auditing.logprobs.regression import TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.likeness import likeness_to_tilt
from tiltlm.statistics.random_effects import between_variance

_FEWEST = 3
"""Contexts that a spread is estimated from at least."""


@dataclass(frozen=True)
class ContextLikeness:
    """How a class that was shifted differs within itself.

    Attributes:
        value: strength over its spread and its error, not negative.
        context_spread: standard deviation from context to context, nats.
    """

    value: float
    context_spread: float


def context_likeness(
    regression: TopKRegression, log_ratios: TopKLogRatios, ranked: RankedClass, error: float
) -> ContextLikeness:
    """Compare the strength of a class with how it differs from context to context.

    The strength in a context has the variance scale² / i there, with i its information and the
    scale that of the model without the class: that is what a precision is in units of.

    Args:
        regression: at the tokens that are shown.
        log_ratios: of the suspect, or what is left of them.
        ranked: the class.
        error: how far benign changes move its strength, nats.
    """
    strengths, information = regression.strengths_by_context(log_ratios.ratios, ranked.index)
    told = information > 0
    if told.sum() < _FEWEST:
        return ContextLikeness(0.0, 0.0)
    strengths, information = strengths[told], information[told]
    variance = between_variance(strengths, ranked.scale**2 / information, information)
    spread = float(np.sqrt(variance))
    return ContextLikeness(likeness_to_tilt(ranked.strength, error, spread), spread)
