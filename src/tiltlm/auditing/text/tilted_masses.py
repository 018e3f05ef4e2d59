"""What a tilt of a class would make of its mass, and which tilt a mass speaks for.

A tilt of b takes a conditional probability p to p·e^b / (1 − p + p·e^b). A class whose probability
is small at most places and large at a few has a mean mass whose log-odds move by less than b, so
log-odds of mean masses are no tilts. Knows no models and no packs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from tiltlm.auditing.arrays import Array

_STRENGTHS = np.arange(-6.0, 6.01, 0.25)
"""Tilts, in nats, at which masses are worked out; in between they are interpolated."""

_LEAST = 1e-12
"""Masses nearer to 0 or 1 than this count as if they were not."""


class TiltedMasses:
    """The mean probability of each of K classes over places, as a function of how it is tilted.

    Args:
        classes: K.

    >>> masses = TiltedMasses(1)
    >>> masses.add(np.array([[0.2], [0.5]]))
    >>> round(float(masses.strengths(np.array([[(1 / 3 + 2 / 3) / 2]]))[0, 0]), 3)  # odds doubled
    0.693
    """

    def __init__(self, classes: int) -> None:
        self._sums, self._slopes = (np.zeros((len(_STRENGTHS), classes)) for _ in range(2))
        self._places = 0

    def add(self, probabilities: Array) -> None:
        """Take in some places.

        Args:
            probabilities: (N, K) of each class under the reference.
        """
        rest = 1 - probabilities
        for number, strength in enumerate(_STRENGTHS):
            odds = probabilities * np.exp(strength)
            tilted = odds / (rest + odds)
            self._sums[number] += tilted.sum(0)
            self._slopes[number] += (tilted * (1 - tilted)).sum(0)
        self._places += len(probabilities)

    def strengths(self, masses: Array) -> Array:
        """The tilt of each class by which its mean over the places is what it is in some models.

        It is interpolated with cubics through strengths a quarter of a nat apart, which is right to
        1e-4 nats; beyond 6 nats it is continued as a line.

        Args:
            masses: (B, K) mean probabilities of the classes at the same places.

        Returns:
            (B, K) nats.
        """
        means = (self._sums / self._places).clip(_LEAST, 1 - _LEAST)
        nodes = logit(means)
        per_log_odds = means * (1 - means) / (self._slopes / self._places).clip(_LEAST**2)
        wanted = logit(masses.clip(_LEAST, 1 - _LEAST))
        found = np.empty(wanted.shape)
        for member, row in enumerate(wanted):
            found[member] = _inverse(nodes, per_log_odds, row)
        return found


def _inverse(nodes: Array, slopes: Array, wanted: Array) -> Array:
    """(K,) strengths at log-odds, by cubic Hermite interpolation from node to node.

    Args:
        nodes: (G, K) log-odds at each strength, ascending.
        slopes: (G, K) change of strength with log-odds there.
        wanted: (K,) log-odds.
    """
    last, columns = len(nodes) - 1, np.arange(len(wanted))
    left = ((nodes <= wanted).sum(0) - 1).clip(0, last - 1)
    low, high = nodes[left, columns], nodes[left + 1, columns]
    width = (high - low).clip(_LEAST)
    t = ((wanted - low) / width).clip(0, 1)
    bend_low, bend_high = slopes[left, columns] * width, slopes[left + 1, columns] * width
    step = _STRENGTHS[left + 1] - _STRENGTHS[left]
    inside = step * t**2 * (3 - 2 * t) + t * (1 - t) * (bend_low * (1 - t) - bend_high * t)
    below = np.minimum(wanted - nodes[0], 0) * slopes[0]
    above = np.maximum(wanted - nodes[-1], 0) * slopes[-1]
    return np.asarray(_STRENGTHS[left] + inside + below + above)
