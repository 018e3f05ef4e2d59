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


_BLOCK = 1_024
"""Tokens at which all strengths are looked at together."""

_LARGEST_LOG = 600.0
"""Of a product of likelihood ratios before its logarithm is taken; float64 holds e to the 709."""


class TiltEvidence:
    """Evidence for a tilt of each of K classes, as tokens come in.

    Args:
        tolerance: (K,) tilts up to which a class is not accused, nats.

    Attributes:
        tolerance: as given.
        tokens: that came in.
        hits: (K,) tokens of each class among them.
        expected: (K,) sums of the reference's probabilities of each class.
        largest_log_e: (K,) the largest `log_e` so far, at least 0.

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
        self.largest_log_e: Array = np.zeros(len(self.tolerance))

    def update(self, hits: Array, probabilities: Array) -> None:
        """Take in the tokens of an answer.

        Args:
            hits: (N, K) 0 or 1.
            probabilities: (N, K) of the class under the reference, given the text before.
        """
        counts = hits.sum(0)
        for number in range(self._strengths.shape[1]):
            beta, edge = self._strengths[:, number], self._edges[:, number]
            log_ratio = counts * (beta - edge) - _log_totals(probabilities, beta)
            if edge.any():
                log_ratio = log_ratio + _log_totals(probabilities, edge)
            self._log_ratios[:, number] += log_ratio
        self.tokens += len(hits)
        self.hits = self.hits + counts
        self.expected = self.expected + probabilities.sum(0)
        self.largest_log_e = np.maximum(self.largest_log_e, self.log_e)

    @property
    def log_e(self) -> Array:
        """(K,) natural logarithm of the e-values now: of mean likelihood ratios over strengths."""
        return np.asarray(logsumexp(self._log_ratios, axis=1) - np.log(self._log_ratios.shape[1]))

    @property
    def p(self) -> Array:
        """(K,) p-values that hold whenever one stops: 1 / the largest e-value so far."""
        return np.asarray(np.exp(-self.largest_log_e))


def _log_totals(probabilities: Array, strengths: Array) -> Array:
    """What a tilt of each class has to be divided by, token after token.

    Args:
        probabilities: (N, K) of the class.
        strengths: (K,) nats.

    Returns:
        (K,) sums over tokens of log(1 + p·(e^β − 1)), from products of as many as float64 holds:
        a logarithm takes as long as ten products.
    """
    factors, totals = np.expm1(strengths), np.zeros(len(strengths))
    at_once = max(1, int(_LARGEST_LOG / max(float(np.abs(strengths).max(initial=0)), 1e-12)))
    for begin in range(0, len(probabilities), at_once):
        product = np.ones(len(strengths))
        for of_token in probabilities[begin : begin + at_once]:
            product *= 1 + of_token * factors
        totals += np.log(product)
    return totals


def confidence_sequence(
    hits: Array, probabilities: Array, error: float = 0.05
) -> tuple[float, tuple[float, float]]:
    """The likeliest strength of one class, and an interval that holds whenever one stops.

    A strength is in the interval where the mixture of strengths is not 1 / ``error`` times as
    likely as it. The likeliest strength is that with Jeffreys' prior, which has less bias where
    hits are few (Firth 1993). Where the text was read until its hits were many, that they are is
    no news, and the strength is too large; of text that was read afterwards it is not.

    Args:
        hits: (N,) 0 or 1.
        probabilities: (N,) of the class under the reference.
        error: chance that the interval misses the strength at any time.

    Returns:
        strength and interval, nats; between −8 and 8.
    """
    grid = np.linspace(-8, 8, 1601)
    likelihoods, information = _likelihoods(grid, hits, probabilities)
    mixed, _ = _likelihoods(np.array([0, *GRID, *(-g for g in GRID)]), hits, probabilities)
    mixture = float(logsumexp(mixed) - np.log(len(mixed)))
    inside = grid[mixture - likelihoods < np.log(1 / error)]
    likeliest = float(grid[(likelihoods + np.log(information) / 2).argmax()])
    if not len(inside):
        return likeliest, (likeliest, likeliest)
    return likeliest, (float(inside[0]), float(inside[-1]))


def _likelihoods(strengths: Array, hits: Array, probabilities: Array) -> tuple[Array, Array]:
    """What the hits of one class say of how it is tilted.

    Args:
        strengths: (G,) nats.
        hits: (N,) 0 or 1.
        probabilities: (N,) of the class under the reference.

    Returns:
        (G,) log-likelihood ratios of tilts of these strengths against no tilt, nats; and (G,)
        Fisher's information on a tilt, the variance of the hits, where the tilt is that.
    """
    ratios, information = hits.sum() * strengths, np.zeros(len(strengths))
    for begin in range(0, len(probabilities), _BLOCK):
        odds = probabilities[begin : begin + _BLOCK] * np.exp(strengths)[:, None]
        total = 1 - probabilities[begin : begin + _BLOCK] + odds
        ratios = ratios - np.log(total).sum(1)
        information += (odds / total * (1 - odds / total)).sum(1)
    return ratios, information
