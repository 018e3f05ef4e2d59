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

from tiltlm.auditing.arrays import Array

GRID = (0.15, 0.3, 0.6, 1.0, 1.6, 2.5)
"""Strengths that are mixed, upwards and downwards: nats beyond the tolerance."""


class TiltEvidence:
    """Evidence for a tilt of each of K classes, as tokens come in.

    Args:
        tolerance: (K,) tilts up to which a class is not accused, nats.

    Attributes:
        tolerance: as given.
        tokens: that came in.
        hits: (K,) tokens of each class among them.
        expected: (K,) sums of the reference's probabilities of each class.

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
        self._log_ratios = np.zeros((len(self.tolerance), len(steps)))
        self.tokens = 0
        self.hits: Array = np.zeros(len(self.tolerance))
        self.expected: Array = np.zeros(len(self.tolerance))
        self._largest_log_e: Array = np.zeros(len(self.tolerance))

    def update(self, hits: Array, probabilities: Array) -> None:
        """Take in the tokens of an answer.

        Args:
            hits: (N, K) 0 or 1.
            probabilities: (N, K) of the class under the reference, given the text before.
        """
        for number in range(self._strengths.shape[1]):
            beta, edge = self._strengths[:, number], self._edges[:, number]
            log_ratio = hits * (beta - edge)
            log_ratio = log_ratio - np.log1p(probabilities * np.expm1(beta))
            log_ratio = log_ratio + np.log1p(probabilities * np.expm1(edge))
            self._log_ratios[:, number] += log_ratio.sum(0)
        self.tokens += len(hits)
        self.hits = self.hits + hits.sum(0)
        self.expected = self.expected + probabilities.sum(0)
        self._largest_log_e = np.maximum(self._largest_log_e, self.log_e)

    @property
    def log_e(self) -> Array:
        """(K,) natural logarithm of the e-values now: of mean likelihood ratios over strengths."""
        return np.asarray(logsumexp(self._log_ratios, axis=1) - np.log(self._log_ratios.shape[1]))

    @property
    def p(self) -> Array:
        """(K,) p-values that hold whenever one stops: 1 / the largest e-value so far."""
        return np.asarray(np.exp(-self._largest_log_e))


def log_likelihood(strength: float, hits: Array, probabilities: Array) -> float:
    """Log-likelihood ratio of one class's hits: of a tilt of ``strength``, against no tilt.

    Args:
        strength: nats.
        hits: (N,) 0 or 1.
        probabilities: (N,) of the class under the reference.

    Returns:
        nats.
    """
    return float((hits * strength - np.log1p(probabilities * np.expm1(strength))).sum())


def confidence_sequence(
    hits: Array, probabilities: Array, error: float = 0.05
) -> tuple[float, tuple[float, float]]:
    """The likeliest strength of one class, and an interval that holds whenever one stops.

    A strength is in the interval where the mixture of strengths is not 1 / ``error`` times as
    likely as it.

    Args:
        hits: (N,) 0 or 1.
        probabilities: (N,) of the class under the reference.
        error: chance that the interval misses the strength at any time.

    Returns:
        strength and interval, nats; between −8 and 8.
    """
    grid = np.linspace(-8, 8, 1601)
    likelihoods = np.array([log_likelihood(float(b), hits, probabilities) for b in grid])
    mixed = [log_likelihood(b, hits, probabilities) for g in GRID for b in (g, -g)]
    mixture = float(logsumexp([0.0, *mixed]) - np.log(len(mixed) + 1))
    inside = grid[mixture - likelihoods < np.log(1 / error)]
    likeliest = float(grid[likelihoods.argmax()])
    if not len(inside):
        return likeliest, (likeliest, likeliest)
    return likeliest, (float(inside[0]), float(inside[-1]))
