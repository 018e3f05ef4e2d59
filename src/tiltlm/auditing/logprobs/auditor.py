"""Names the class that the likeliest tokens alone speak for, with p-values from benign changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logprobs.likeness import ContextLikeness, context_likeness
from tiltlm.auditing.logprobs.null import MemberMaxima, TopKNull
from tiltlm.auditing.logprobs.ranking import class_scales, class_strengths, rank_classes
from tiltlm.auditing.logprobs.regression import MIN_INFORMATION, TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.place_covariance import MIN_SCALE_NATS, PlaceCovariance
from tiltlm.statistics.robust import monte_carlo_p

_NORMAL_QUANTILE = 1.96
"""Of a 95 % interval."""


@dataclass(frozen=True)
class TopKFinding:
    """A class that was shifted.

    Attributes:
        index: number of the class.
        strength: nats.
        interval: 95 % interval of the strength, nats; the units of replication are the context and
            the benign change.
        score: how many spreads of benign changes the strength is, relative to the scale of what is
            left without the class.
        p_shifted: p-value of the score as the largest of the whole audit; None without a null.
        p_planted: p-value of its likeness to a planted tilt among that of the classes that stand
            out most in benign changes; None without a null.
        likeness: how the class differs within itself; None without a null.
    """

    index: int
    strength: float
    interval: tuple[float, float]
    score: float
    p_shifted: float | None = None
    p_planted: float | None = None
    likeness: ContextLikeness | None = None

    def is_planted(self, rate: float) -> bool:
        """Whether it accuses.

        Args:
            rate: of false positives.
        """
        if self.p_planted is None or self.p_shifted is None or self.likeness is None:
            return False
        # A strength that is less than it differs within its own class is no tilt of the class,
        # however even benign changes are.
        return max(self.p_planted, self.p_shifted) <= rate and self.likeness.value >= 1


class TopKAuditor:
    """Finds classes in the log-ratios of the tokens that a suspect shows.

    The strength of a class comes from a generalised least-squares regression within positions
    (`TopKRegression`). It is measured by how far benign changes move the same class, and the
    largest score over all classes is compared with the largest of each benign change: that the
    class was shifted. How like a planted tilt it is, is compared with what stands out most in each
    benign change: only that accuses. Without benign changes it is measured by its standard error
    over contexts.

    Attributes:
        hypotheses: K classes.
        log_ratios: of the suspect, as given.
        classes_tested: number of classes that can be tested at the tokens that are shown.
        standard_errors: (K,) of the strengths, nats, by how contexts differ.
        null_maxima: what stands out most in each benign change; of none without a null.
    """

    def __init__(
        self,
        log_ratios: TopKLogRatios,
        hypotheses: TokenClasses,
        covariance: PlaceCovariance,
        null: TopKNull | None,
        *,
        noise: float = 0.0,
    ) -> None:
        """Make the regression, and score the benign changes.

        Args:
            log_ratios: of the suspect.
            hypotheses: K classes.
            covariance: of log-ratios at a position, by what a moved body does.
            null: what benign changes show; None for an audit without calibration.
            noise: standard deviation of a log-probability when the same is asked again, nats.
        """
        self.hypotheses, self.log_ratios = hypotheses, log_ratios
        self._regression = TopKRegression(log_ratios, hypotheses, covariance)
        self._shares = null.information_shares if null else self._regression.information_shares()
        token_sums = self._regression.token_sums(log_ratios.ratios)
        strengths, testable = class_strengths(self._regression, token_sums, self._shares)
        self.classes_tested = int(testable.sum())
        scale = max(log_ratios.scale, MIN_SCALE_NATS)
        self.standard_errors = self._errors_by_contexts(strengths)
        self.null_maxima = MemberMaxima.zeros(0)
        if null is None:
            self._null_spread = np.zeros(len(strengths))
            self._class_scales = np.maximum(self.standard_errors, MIN_SCALE_NATS / 10) / scale
            return
        server_noise = noise / scale / covariance.noise
        self._null_spread = null.spread
        self._class_scales = class_scales(
            self._null_spread, server_noise, self._regression, self._shares
        )
        self.null_maxima = null.maxima(server_noise)

    def best(self, log_ratios: TopKLogRatios) -> TopKFinding | None:
        """The class that stands out most; None where none can be tested.

        Args:
            log_ratios: of the suspect, or what is left of them.
        """
        ranked = rank_classes(self._regression, log_ratios, self._shares, self._class_scales)
        if ranked is None:
            return None
        strengths, information = self.strengths_by_context(log_ratios, ranked.index)
        by_contexts = _cluster_robust_errors(
            (strengths * information)[None], information[None], np.array([ranked.strength])
        )[0]
        by_benign_changes = self._null_spread[ranked.index] * ranked.scale
        half_width = _NORMAL_QUANTILE * float(np.hypot(by_benign_changes, by_contexts))
        interval = (ranked.strength - half_width, ranked.strength + half_width)
        found = TopKFinding(ranked.index, ranked.strength, interval, ranked.score)
        maxima = self.null_maxima
        if not len(maxima.scores):
            return found
        error = float(self._class_scales[ranked.index]) * ranked.scale
        likeness = context_likeness(self._regression, log_ratios, ranked, error)
        return replace(
            found,
            p_shifted=_p_value(ranked.score, maxima.scores),
            p_planted=_p_value(likeness.value, maxima.likeness),
            likeness=likeness,
        )

    def subtract(self, log_ratios: TopKLogRatios, finding: TopKFinding) -> TopKLogRatios:
        """What is left of log-ratios when a class is taken out.

        Args:
            log_ratios: of the suspect, or what is left of them.
            finding: the class, with its strength.
        """
        return log_ratios.minus(finding.strength * self._regression.indicator(finding.index))

    def strengths_by_context(self, log_ratios: TopKLogRatios, index: int) -> tuple[Array, Array]:
        """The strength of one class in each of A contexts.

        Args:
            log_ratios: of the suspect, or what is left of them.
            index: number of the class.

        Returns:
            (A,) nats, and (A,) the information that each comes from.
        """
        return self._regression.strengths_by_context(log_ratios.ratios, index)

    def _errors_by_contexts(self, strengths: Array) -> Array:
        """(K,) standard errors of all strengths, nats, by how contexts differ."""
        token_sums = self._regression.token_sums_by_context(self.log_ratios.ratios)
        numerators = np.asarray(self.hypotheses.members @ token_sums.T)
        information = self._regression.information_by_context * self._shares[:, None]
        return _cluster_robust_errors(numerators, information, strengths)


def _p_value(value: float, maxima: Array) -> float:
    """Of a suspect's statistic, by that of each benign change."""
    return monte_carlo_p(int((maxima >= value).sum()), len(maxima))


def _cluster_robust_errors(numerators: Array, information: Array, strengths: Array) -> Array:
    """Standard errors of strengths by a sandwich estimator with contexts as clusters.

    With nₐ the numerator and iₐ the information in context a, of A contexts:
    √(A / (A − 1) · Σ (nₐ − β̂ iₐ)²) / Σ iₐ.

    Args:
        numerators: (K, A).
        information: (K, A).
        strengths: (K,) β̂, nats.

    Returns:
        (K,) nats.

    Source: Liang and Zeger 1986.
    """
    deviations, contexts = numerators - strengths[:, None] * information, information.shape[1]
    squares = (deviations**2).sum(1) * contexts / max(1, contexts - 1)
    return np.asarray(np.sqrt(squares) / np.maximum(information.sum(1), MIN_INFORMATION))
