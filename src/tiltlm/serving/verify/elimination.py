"""Rule out what a server does not serve: one anytime-valid test for each thing that it may.

Each hypothesis says with what probability a server draws each token. Against each stands the
mixture of all others: how many times likelier the draws are under that is a non-negative martingale
if the hypothesis is true, so it exceeds 1/α with probability at most α, however often one looks
(Ville's inequality). What has once exceeded it is ruled out. Whatever is true is thus ruled out
with probability at most α, and a verdict, which is what alone is left, is false no more often. Nor
does that hang on how many hypotheses there are: only the true one has to survive.

Prompts may be chosen by what was drawn before: the ratio of one draw has the mean 1 at any prompt.
A mixture costs the logarithm of a weight; those who are asked about first have the largest.

Beside the hypotheses stands somebody who has none and learns as the tokens come. Each mixture has
him in it, so that what is like none of them is like none in the end, and not like the least bad.
What he says of a token is fixed before it is drawn, which is all that a martingale takes.

Along one line of strengths it holds for more than was written down. Between λ₀ < λ₁ the likelihood
ratio of λ₁ to λ₀ is a supermartingale under every strength up to λ₀, since the log-partition
function is convex; so what is ruled out with the half are all weaker tilts, with the double all
stronger ones.

Source: Wald 1945, "Sequential tests of statistical hypotheses"; Baum & Veeravalli 1994, "A
sequential procedure for multihypothesis testing"; Ramdas, Grünwald, Vovk, Shafer 2023.
"""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array

LEARNER_WEIGHT = 0.04
"""Of the learner in each mixture; all hypotheses together have 1."""


class Elimination:
    """Evidence against each of H hypotheses, as tokens come in.

    Args:
        weights: (H,) positive, of each in the mixtures; the larger, the sooner others are ruled
            out where it is true.
        error: α, the probability that what is true is ruled out.
        learner_weight: of the learner; 0 for none.

    Attributes:
        tokens: that came in.
        log_likelihoods: (H,) nats, of all tokens; −inf where one is impossible.
        learner_log_likelihood: nats, likewise, of what the learner said before each.
        largest_log_e: (H,) the most evidence that there ever was against each.

    >>> test = Elimination(np.array([0.5, 0.5]), error=0.01)
    >>> for _ in range(20):
    ...     test.update(np.log([0.8, 0.5]))
    >>> test.survivors.tolist()
    [0]
    """

    def __init__(
        self, weights: Array, error: float, learner_weight: float = LEARNER_WEIGHT
    ) -> None:
        self._log_weights = np.log(weights / np.sum(weights))
        self._is_other = 1.0 - np.eye(len(weights))
        others = self._is_other @ np.exp(self._log_weights)
        self._other_log_weights = np.log(others + learner_weight)
        self._learner_weight = learner_weight
        self.learner_log_likelihood = 0.0
        self.threshold = float(np.log(1 / error))
        self.tokens = 0
        self.log_likelihoods: Array = np.zeros(len(weights))
        self.largest_log_e: Array = np.zeros(len(weights))

    def update(self, log_probs: Array, learner: float = -np.inf) -> None:
        """Take in a token.

        Args:
            log_probs: (H,) nats, of what was seen of it, under each hypothesis.
            learner: what the learner had said of it, nats.
        """
        self.tokens += 1
        self.learner_log_likelihood += learner
        self.log_likelihoods = self.log_likelihoods + log_probs
        self.largest_log_e = np.maximum(self.largest_log_e, self.log_e)

    @property
    def log_e(self) -> Array:
        """(H,) by how many nats the mixture of the others is likelier than each, now."""
        joint = self._log_weights + self.log_likelihoods
        largest = max(float(joint.max()), self.learner_log_likelihood)
        likelihoods = np.exp(joint - largest)
        others = self._is_other @ likelihoods
        others = others + self._learner_weight * np.exp(self.learner_log_likelihood - largest)
        with np.errstate(divide="ignore"):
            mixture = np.log(others) + largest - self._other_log_weights
        values: Array = mixture - self.log_likelihoods
        return np.where(np.isneginf(self.log_likelihoods), np.inf, values)

    @property
    def survivors(self) -> Array:
        """Numbers of those that are not ruled out."""
        return np.flatnonzero(self.largest_log_e < self.threshold)

    @property
    def leader(self) -> int:
        """The likeliest, weighed; before anything was seen, the one with the largest weight."""
        return int((self._log_weights + self.log_likelihoods).argmax())

    @property
    def needs(self) -> Array:
        """(H,) nats that are missing for each to be ruled out."""
        return np.maximum(self.threshold - self.log_e, 0.0)


def least_tokens(information: float, error: float) -> float:
    """The mean number of tokens that any test needs between two hypotheses (Wald 1945).

    Args:
        information: KL of what is true from its rival, nats a token.
        error: probability of a false verdict, either way.

    >>> round(least_tokens(0.1, 0.01), 1)
    45.0
    """
    return float((1 - 2 * error) * np.log((1 - error) / error) / information)
