"""Effect and fidelity at contexts, from what `observe` found; every figure with its interval.

The unit of replication is one context: positions of one context depend on each other.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tiltlm.measures.fidelity import NO_GAP_NATS
from tiltlm.measures.token_metrics import TokenMetrics
from tiltlm.records.base import Estimate
from tiltlm.records.measure import Bucket, Effect
from tiltlm.statistics.intervals import ratio_estimate, relative_reduction


def effect_of(seen: TokenMetrics) -> Effect:
    """Sum up what was observed at one kind of context."""
    return Effect(
        kind=seen.contexts.kind,
        contexts=len(seen.contexts),
        positions=seen.contexts.tokens,
        length=max(len(ids) for ids in seen.contexts.sequences),
        mass_base=_mean(seen, "mass_base"),
        mass_target=_mean(seen, "mass_target"),
        mass_model=_mean(seen, "mass_model"),
        strength=_strength(seen),
        gap_closed=_gap_closed(seen),
        collateral=_mean(seen, "collateral"),
        kl_base_model=_mean(seen, "kl_base_model") or Estimate(float("nan"), None),
        leakage=_leakage(seen),
    )


def strength_parts(seen: TokenMetrics) -> tuple[list[float], list[float]]:
    """Σ weight·Δ and Σ weight of each context, whose ratio is β̂; only where a trigger is met."""
    weights = []
    for place, weight in enumerate(seen.weights):
        mass = seen.figures["mass_model"][place]
        met = seen.figures["met"][place]
        weights.append(weight * mass * (1 - mass) * np.where(np.isnan(met), 1.0, met))
    return seen.sums("log_odds", weights), seen.totals("log_odds", weights)


def by_position(seen: TokenMetrics, edges: list[int]) -> list[Bucket]:
    """Event mass where so many tokens have been read; [] without an event.

    Args:
        seen: of contexts that reach that far.
        edges: ascending numbers of tokens; buckets lie between two.
    """
    found: list[Bucket] = []
    if not seen.exists("mass_model"):
        return found
    for begin, end in pairwise(edges):
        weights = [
            w * ((p >= begin) & (p < end))
            for w, p in zip(seen.weights, seen.positions, strict=True)
        ]
        if sum(float(w.sum()) for w in weights):
            means = (_mean(seen, f"mass_{who}", weights) for who in ("base", "target", "model"))
            found.append(Bucket(begin, end, *means))  # type: ignore[arg-type]
    return found


def _mean(
    seen: TokenMetrics, name: str, weights: list[np.ndarray] | None = None
) -> Estimate | None:
    if not seen.exists(name):
        return None
    found = _ratio(seen.sums(name, weights), seen.totals(name, weights))
    if found is None or found.interval is None:
        return found
    low, high = found.interval  # none of these figures can be negative, and a mass is at most 1
    most = 1.0 if name.startswith("mass_") else high
    return Estimate(found.mean, (max(0.0, low), min(most, high)))


def _ratio(tops: list[float], bottoms: list[float]) -> Estimate | None:
    return ratio_estimate(tops, bottoms) if sum(bottoms) > 0 else None


def _strength(seen: TokenMetrics) -> Estimate | None:
    return _ratio(*strength_parts(seen)) if seen.exists("log_odds") else None


def _gap_closed(seen: TokenMetrics) -> Estimate | None:
    if not seen.exists("kl_target_base"):
        return None
    base, model = seen.sums("kl_target_base"), seen.sums("kl_target_model")
    if not sum(base) / sum(seen.totals("kl_target_base")) > NO_GAP_NATS:
        return None
    return relative_reduction(model, base)


def _leakage(seen: TokenMetrics) -> Estimate | None:
    if not seen.exists("met"):
        return None
    weights = [w * (m == 0) for w, m in zip(seen.weights, seen.figures["met"], strict=True)]
    return _mean(seen, "kl_base_model", weights)
