"""Effect and fidelity at one kind of context, from its `TokenMetrics`; every figure with interval.

The unit of replication is one context: positions of one context depend on each other. What gap
closed, collateral and leakage are stands in `figures`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import numpy as np

from tiltlm.measures.figures import gap_closed, mean_over_contexts
from tiltlm.measures.token_metrics import TokenMetrics
from tiltlm.records.base import Estimate
from tiltlm.records.measure import Bucket, Effect

INFINITE_KL = "infinite: the model rules out tokens that the base allows"
"""Why a divergence of base to model is no number."""


def effect_of(metrics: TokenMetrics) -> Effect:
    """Sum up what was read at one kind of context."""
    return Effect(
        kind=metrics.contexts.kind,
        contexts=len(metrics.contexts),
        positions=metrics.contexts.tokens,
        length=max(len(ids) for ids in metrics.contexts.sequences),
        mass_base=_mean(metrics, "mass_base"),
        mass_target=_mean(metrics, "mass_target"),
        mass_model=_mean(metrics, "mass_model"),
        strength=_strength(metrics),
        gap_closed=_gap_closed(metrics),
        collateral=_mean(metrics, "collateral"),
        kl_base_model=_mean(metrics, "kl_base_model"),
        leakage=_leakage(metrics),
    )


def strength_parts(
    metrics: TokenMetrics, mass: Literal["mass_model", "mass_base"] = "mass_model"
) -> tuple[list[float], list[float]]:
    """Numerator and denominator of the strength β̂, context by context.

    β̂ = Σ w·Δ / Σ w over all positions, with Δ the rise of the event's log-odds in nats and
    w = weight · m(1 − m), m the model's event mass, which is what a position tells of β. Of a
    target with a trigger only the positions count at which it is met.

    Args:
        metrics: of some contexts.
        mass: whose event mass m is; the base's weights do not depend on what the model does.

    Returns:
        Σ w·Δ and Σ w of each context.
    """
    weights = []
    for index, weight in enumerate(metrics.weights):
        m = metrics.figures[mass][index]
        triggered = metrics.figures["triggered"][index]
        asked = np.where(np.isnan(triggered), 1.0, triggered)
        weights.append(weight * m * (1 - m) * asked)
    return metrics.sums("log_odds", weights), metrics.totals("log_odds", weights)


def unmeasured_of(metrics: TokenMetrics, effect: Effect) -> dict[str, str]:
    """Which figures could not be measured at these contexts, and why.

    Args:
        metrics: of these contexts.
        effect: what `effect_of` made of them.

    Returns:
        a reason for each figure that is None in ``effect`` though the target asks for it.
    """
    reasons = {}
    if effect.kl_base_model is None:
        reasons["KL of base to model"] = INFINITE_KL
    if not metrics.exists("mass_model"):
        return reasons
    if effect.collateral is None:
        reasons["collateral"] = "the model rules out tokens outside the event"
    waits = metrics.exists("triggered")
    if effect.strength is None and waits and not any(metrics.sums("triggered")):
        reasons["strength"] = "the target's trigger is met at none of these positions"
    elif effect.strength is None:
        reasons["strength"] = (
            "at each of these positions the event is impossible or certain, "
            "so its log-odds cannot rise"
        )
    if waits and effect.leakage is None:
        met_everywhere = metrics.sums("triggered") == metrics.totals("triggered")
        reasons["leakage"] = (
            "the target's trigger is met at all of these positions"
            if met_everywhere
            else INFINITE_KL
        )
    return reasons


def by_position(metrics: TokenMetrics, edges: list[int]) -> list[Bucket]:
    """Event mass where so many tokens have been read.

    Args:
        metrics: of contexts that reach that far.
        edges: ascending numbers of tokens; each bucket lies between two of them.

    Returns:
        a bucket for each two neighbouring edges between which there are positions; none without
        an event.
    """
    buckets: list[Bucket] = []
    if not metrics.exists("mass_model"):
        return buckets
    for begin, end in pairwise(edges):
        weights = [
            w * ((p >= begin) & (p < end))
            for w, p in zip(metrics.weights, metrics.positions, strict=True)
        ]
        base, target, model = (
            _mean(metrics, f"mass_{who}", weights) for who in ("base", "target", "model")
        )
        if base is not None and target is not None and model is not None:
            buckets.append(Bucket(begin, end, base, target, model))
    return buckets


def _mean(
    metrics: TokenMetrics, name: str, weights: list[np.ndarray] | None = None
) -> Estimate | None:
    """Mean of a figure over positions, its interval kept to what the figure can be.

    None where the figure exists nowhere, and where its mean is infinite.
    """
    sums = metrics.sums(name, weights)
    if not metrics.exists(name) or not math.isfinite(sum(sums)):
        return None
    mean = mean_over_contexts(sums, metrics.totals(name, weights))
    if mean is None or mean.interval is None:
        return mean
    low, high = mean.interval  # none of these figures can be negative, and a mass is at most 1
    most = 1.0 if name.startswith("mass_") else high
    return Estimate(mean.mean, (max(0.0, low), min(most, high)))


def _strength(metrics: TokenMetrics) -> Estimate | None:
    if not metrics.exists("log_odds"):
        return None
    rises, weights = strength_parts(metrics)
    if not math.isfinite(sum(rises)):
        return None
    return mean_over_contexts(rises, weights)


def _gap_closed(metrics: TokenMetrics) -> Estimate | None:
    if not metrics.exists("kl_target_base"):
        return None
    return gap_closed(
        metrics.sums("kl_target_model"),
        metrics.sums("kl_target_base"),
        metrics.totals("kl_target_base"),
    )


def _leakage(metrics: TokenMetrics) -> Estimate | None:
    if not metrics.exists("triggered"):
        return None
    triggered = metrics.figures["triggered"]
    weights = [w * (t == 0) for w, t in zip(metrics.weights, triggered, strict=True)]
    return _mean(metrics, "kl_base_model", weights)
