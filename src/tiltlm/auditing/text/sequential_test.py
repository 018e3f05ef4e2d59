"""Tell a tilt from text alone, stopping whenever it is clear: an anytime-valid test.

The suspect writes; the reference says for every token how likely the event was given what came
before. If the suspect is its reference, hits are draws with just these probabilities. Against a
tilt of β the likelihood ratio of one token is exp(βx) / (1 + p(e^β − 1)), whose product is a
non-negative martingale under the null, so it exceeds 1/α with probability at most α, however often
one looks (Ville's inequality). Strengths are mixed over a grid, since β is not known.

A tolerance ε makes the null "no tilt stronger than ε": for β > ε the ratio to the likelihood at ε
is a supermartingale under every tilt up to ε, since the likelihood ratio is monotone.
Source: Ramdas, Grünwald, Vovk, Shafer 2023, "Game-theoretic statistics and safe anytime-valid
inference".
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

Array = np.ndarray


GRID = (0.15, 0.3, 0.6, 1.0, 1.6, 2.5)
"""Strengths mixed, either way, nats, beyond the tolerance."""


class TiltEvidence:
    """Evidence for a tilt of each of K classes, as tokens come in.

    Args:
        tolerance: (K,) tilts up to which a class is not accused, nats.

    >>> evidence = TiltEvidence(np.zeros(1))
    >>> evidence.update(np.ones((20, 1)), np.full((20, 1), 0.1))
    >>> bool(evidence.log_e[0] > np.log(100))
    True
    """

    def __init__(self, tolerance: Array) -> None:
        self.tolerance = np.asarray(tolerance, float)
        steps = np.array([*GRID, *(-g for g in GRID)])
        edges = np.sign(steps) * self.tolerance[:, None]
        self._edges, self._strengths = edges, edges + steps
        self._sums = np.zeros((len(self.tolerance), len(steps)))
        self.tokens = 0
        self.hits: Array = np.zeros(len(self.tolerance))
        self.expected: Array = np.zeros(len(self.tolerance))
        self._best: Array = np.zeros(len(self.tolerance))

    def update(self, hits: Array, probabilities: Array) -> None:
        """Tokens that were written.

        Args:
            hits: (N, K) 0 or 1.
            probabilities: (N, K) of the class under the reference, given the text before.
        """
        for number in range(self._strengths.shape[1]):
            beta, edge = self._strengths[:, number], self._edges[:, number]
            ratio = hits * (beta - edge)
            ratio = ratio - np.log1p(probabilities * np.expm1(beta))
            ratio = ratio + np.log1p(probabilities * np.expm1(edge))
            self._sums[:, number] += ratio.sum(0)
        self.tokens += len(hits)
        self.hits = self.hits + hits.sum(0)
        self.expected = self.expected + probabilities.sum(0)
        self._best = np.maximum(self._best, self.log_e)

    @property
    def log_e(self) -> Array:
        """(K,) logarithm of the e-values now."""
        return np.asarray(logsumexp(self._sums, axis=1) - np.log(self._sums.shape[1]))

    @property
    def p(self) -> Array:
        """(K,) p-values that hold at any time: 1 / the largest e-value so far."""
        return np.asarray(np.exp(-self._best))


def log_likelihood(strength: float, hits: Array, probabilities: Array) -> float:
    """Of one class's hits, if its tilt is ``strength``, against none.

    Args:
        strength: nats.
        hits: (N,) 0 or 1.
        probabilities: (N,) under the reference.
    """
    return float((hits * strength - np.log1p(probabilities * np.expm1(strength))).sum())


def confidence_sequence(
    hits: Array, probabilities: Array, error: float = 0.05
) -> tuple[float, tuple[float, float]]:
    """The likeliest strength, and an interval that holds at any time.

    Args:
        hits: (N,) 0 or 1.
        probabilities: (N,) under the reference.
        error: chance that the interval ever misses.

    Returns:
        strength and interval, nats; between −8 and 8.
    """
    grid = np.linspace(-8, 8, 1601)
    likelihoods = np.array([log_likelihood(float(b), hits, probabilities) for b in grid])
    mixed = [log_likelihood(b, hits, probabilities) for g in GRID for b in (g, -g)]
    mixture = float(logsumexp([0.0, *mixed]) - np.log(len(mixed) + 1))
    inside = grid[mixture - likelihoods < np.log(1 / error)]
    best = float(grid[likelihoods.argmax()])
    if not len(inside):
        return best, (best, best)
    return best, (float(inside[0]), float(inside[-1]))
