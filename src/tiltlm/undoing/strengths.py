"""How strongly events are tilted in a model against its reference, jointly, with their covariance.

β̂ is what ``tiltlm measure`` calls the strength: the rise of an event's log-odds, positions weighted
by m(1 − m) of the model's event mass m. The unit of replication is one context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import root
from scipy.special import stdtrit

from tiltlm.records.base import Estimate, Interval
from tiltlm.undoing.class_masses import Classes, event_log_odds


@dataclass(frozen=True)
class Strengths:
    """Strengths of K events.

    Attributes:
        values: (K,) in nats.
        covariance: (K, K) of these, over contexts.
        contexts: how many; the unit of replication.
    """

    values: np.ndarray
    covariance: np.ndarray
    contexts: int

    def interval(self, event: int) -> Interval:
        """Student's 95 % interval of one event's strength.

        Args:
            event: its number.
        """
        value = float(self.values[event])
        error = float(np.sqrt(self.covariance[event, event]))
        reach = float(stdtrit(self.contexts - 1, 0.975)) * error
        return value - reach, value + reach

    def estimates(self) -> list[Estimate]:
        """The strengths as records have them."""
        return [Estimate(float(v), self.interval(k)) for k, v in enumerate(self.values)]


def estimate_strengths(
    reference: Sequence[torch.Tensor], model: Sequence[torch.Tensor], classes: Classes
) -> Strengths:
    """Estimate the strengths of all events together.

    Args:
        reference: for each context (n, A + 1) log-masses of the classes in the reference.
        model: the same in the model.
        classes: of the K events.
    """
    sums, weights = [], []
    for before, after in zip(reference, model, strict=True):
        rise = event_log_odds(after, classes) - event_log_odds(before, classes)
        mass = event_log_odds(after, classes).sigmoid()
        weight = mass * (1 - mass)
        sums.append((weight * rise).sum(0).numpy())
        weights.append(weight.sum(0).numpy())
    totals, count = np.array(weights), len(sums)
    mean = totals.mean(0).clip(1e-300)
    values = np.array(sums).mean(0) / mean
    # A ratio of means, to first order: its residual in each context.
    residuals = (np.array(sums) - values * totals) / mean
    covariance = residuals.T @ residuals / (count * max(count - 1, 1))
    return Strengths(values, covariance, count)


def joint_tilt(
    start: Sequence[torch.Tensor], goal: Sequence[torch.Tensor], classes: Classes
) -> list[float]:
    """The one tilt of all events together that leaves no strength between two models.

    Where events overlap this is not each event's own strength: what one does to the tokens that
    they share, the other need not.

    Args:
        start: for each context (n, A + 1) log-masses of the classes in the model to be tilted.
        goal: the same in the model to be like.
        classes: of the K events.

    Returns:
        a strength for each event, in nats.
    """

    def left(strengths: np.ndarray) -> np.ndarray:
        shifts = classes.patterns.double() @ torch.from_numpy(strengths)
        padded = torch.nn.functional.pad(shifts, (0, 1))
        tilted = [(rows + padded).log_softmax(-1) for rows in start]
        return estimate_strengths(goal, tilted, classes).values

    first = -estimate_strengths(goal, start, classes).values
    return [float(strength) for strength in root(left, first).x]
