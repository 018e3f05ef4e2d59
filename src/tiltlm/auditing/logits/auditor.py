"""The search for the classes that a shift speaks for, each with a p-value from benign changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.overlap import PART_SHARE, SAME_CLASS_JACCARD, jaccard, share_within
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logits.null_distribution import (
    COLUMN_SPACE,
    RESIDUAL,
    Filter,
    NullDistribution,
    component_of,
)
from tiltlm.auditing.search import find_one_by_one, take_distinct
from tiltlm.auditing.shifts.filters import ColumnSpaceFilter, ResidualFilter, standardised
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.strata import Change
from tiltlm.auditing.thresholds import MAX_FINDINGS, MIN_STRENGTH_NATS, MIN_UNCALIBRATED_SCORE
from tiltlm.statistics.robust import robust_spread

_NEAR_SHARE, _NEAR_JACCARD = 0.98, 0.8
"""A class with a simpler name takes the place of the best one if it has at least this share of its
score, and if the Jaccard index of their tokens is at least this."""


_NORMAL_QUANTILE = 1.96
"""Of a 95 % interval."""


_MIN_SPREAD_NATS = 1e-3
"""Added to the spread of residuals, which is rounding below it."""


_Remainder = TypeVar("_Remainder", Array, Change)


@dataclass(frozen=True)
class Finding:
    """A class that was shifted.

    Attributes:
        event: the class, as events are written where it can be.
        token_ids: its tokens, ascending.
        component: where it shows: `RESIDUAL` or `COLUMN_SPACE`.
        index: number of the class among those that are tested.
        strength: nats.
        interval: 95 % interval of the strength, nats; the unit of replication is the benign change.
            None without a null.
        score: in units that one in fifty benign changes reaches with this filter; without a null,
            in standard errors.
        p: p-value of the score as the largest of the whole audit; None without a null.
    """

    event: str
    token_ids: tuple[int, ...]
    component: str
    index: int
    strength: float
    interval: tuple[float, float] | None
    score: float
    p: float | None


class Auditor:
    """Names the classes that were shifted in a suspect, given its change from the reference.

    Every class is a hypothesis, scored by two filters: by the residual of the log-ratios outside
    the column space of the head, where a tilt by the head shows, and by the moves inside it,
    where a tilt by the body shows. The largest score is compared with the largest of each benign
    change. What is found is taken out of the change, and the search goes on.

    Attributes:
        geometry: of the reference's head.
        residual_filter: scores what lies outside the column space.
        column_space_filter: scores what lies inside it; there only with a null.
    """

    def __init__(
        self,
        geometry: HeadGeometry,
        hypotheses: TokenClasses,
        null: Change | None,
        trigger_scores: Array | None = None,
        families: Sequence[str] = (),
        templates: Array | None = None,
        on_family: Callable[[], None] = lambda: None,
    ) -> None:
        """Fit both filters to the null.

        Args:
            geometry: of the reference's head.
            hypotheses: K classes.
            null: B benign changes; None for an audit without calibration.
            trigger_scores: (B,) largest score of a triggered class in each of them; None where no
                words were tried.
            families: (B,) of what kind each is. Where there are at least three, each is scored by
                filters that know none of its family, as a suspect will be whose corpus the pack
                does not have.
            templates: (K, S, D) what a tilt of each class does inside the column space; needed
                with a null.
            on_family: called when the members of a family are scored, by each of the two filters.
        """
        self.geometry = geometry
        self.residual_filter = ResidualFilter(geometry, hypotheses)
        self._null = NullDistribution(np.empty(0), {}, {}, 1.0)
        if null is None:
            return
        assert templates is not None
        self.column_space_filter = ColumnSpaceFilter(geometry, hypotheses, templates)
        self._filters: dict[str, Filter] = {
            RESIDUAL: self.residual_filter,
            COLUMN_SPACE: self.column_space_filter,
        }
        self._null = NullDistribution.of(self._filters, null, trigger_scores, families, on_family)

    @property
    def null_maxima(self) -> Array:
        """(B,) largest score of each benign change; empty without a null."""
        return self._null.maxima

    @property
    def trigger_unit(self) -> float:
        """What the score of a triggered class is divided by to compare it with `null_maxima`."""
        return self._null.trigger_unit

    def p_value(self, score: float) -> float:
        """The p-value of a score as the largest of the whole audit; 1 without a null.

        Args:
            score: as in a `Finding`.
        """
        return self._null.p_value(score)

    def best(self, change: Change) -> Finding:
        """The class that a change speaks most for, whether or not it is significant.

        Args:
            change: of a suspect; the auditor must have a null.
        """
        findings = (self._best_of(component, change) for component in self._filters)
        return max(findings, key=lambda finding: finding.score)

    def find(self, change: Change, rate: float) -> list[Finding]:
        """Classes found one after another, each with those before it taken out of the change.

        Args:
            change: of a suspect; the auditor must have a null.
            rate: of false positives.

        Returns:
            at most `MAX_FINDINGS` classes, the surest first. Strengths of those found in the
            residual are joint, each given the others.
        """

        def is_significant(finding: Finding) -> bool:
            return finding.p is not None and finding.p <= rate

        findings = _search(change, self.best, self._subtract, is_significant)
        return self._refit_jointly(change.mean, findings)

    def find_uncalibrated(self, shift: Array) -> list[Finding]:
        """The same search without a null, by strengths over their own standard errors.

        Args:
            shift: (V,) mean log-ratios, nats.

        Returns:
            at most `MAX_FINDINGS` classes, none with a p-value.
        """

        def subtract(remainder: Array, finding: Finding) -> Array:
            mask = self.residual_filter.class_mask(finding.index)
            return np.asarray(remainder - finding.strength * mask)

        def is_clear(finding: Finding) -> bool:
            return finding.score >= MIN_UNCALIBRATED_SCORE

        return _search(shift, self.best_uncalibrated, subtract, is_clear)

    def best_uncalibrated(self, shift: Array) -> Finding:
        """The class that a shift by itself speaks most for.

        Args:
            shift: (V,) mean log-ratios, nats.

        Returns:
            the class with the largest strength in units of its standard error, which is taken from
            the spread of the residuals; no interval and no p-value.
        """
        residual = self.residual_filter.residual(shift[None])[0]
        strengths = self.residual_filter.strengths(shift[None])[0]
        hypotheses = self.residual_filter.hypotheses
        noise = float(robust_spread(residual)) + _MIN_SPREAD_NATS
        scores = np.abs(strengths) * np.sqrt(hypotheses.sizes) / noise
        index = _simplest(np.where(self.residual_filter.testable, scores, 0.0), hypotheses)
        return self._finding(RESIDUAL, index, float(strengths[index]), float(scores[index]))

    def _best_of(self, component: str, change: Change) -> Finding:
        """The class that one filter scores highest in a change."""
        filter_, part = self._filters[component], component_of(change, component)
        scores = np.abs(standardised(filter_.scores(part[None])))[0] / self._null.units[component]
        scores = np.asarray(np.where(filter_.testable, scores, 0.0))
        # Of classes with the same p-value, the one with the largest score before it was divided by
        # the class's spread among benign changes.
        counts, least = (self._null.count_reaching(s) for s in (scores, scores.max(keepdims=True)))
        spreads = self._null.class_spreads[component]
        index = _simplest(np.where(counts == least, scores * spreads, 0.0), filter_.hypotheses)
        strength, score = float(filter_.strengths(part[None])[0, index]), float(scores[index])
        half_width = _NORMAL_QUANTILE * filter_.standard_error(part, index)
        return replace(
            self._finding(component, index, strength, score),
            interval=(strength - half_width, strength + half_width),
            p=self.p_value(score),
        )

    def _finding(self, component: str, index: int, strength: float, score: float) -> Finding:
        """A finding without an interval and a p-value."""
        hypotheses = self.residual_filter.hypotheses
        ids = tuple(hypotheses.token_ids(index))
        return Finding(hypotheses.names[index], ids, component, index, strength, None, score, None)

    def _subtract(self, change: Change, finding: Finding) -> Change:
        """A change with the part of a class taken out of its log-ratios and its moves."""
        if finding.component == RESIDUAL:
            shift = self.residual_filter.class_mask(finding.index)
            moves = self.geometry.solve_moves(shift)[None]
        else:
            moves = self.column_space_filter.templates[finding.index]
            shift = self.geometry.log_ratios_of(moves.mean(0))
        return Change(
            change.mean - finding.strength * shift, change.moves - finding.strength * moves
        )

    def _refit_jointly(self, shift: Array, findings: list[Finding]) -> list[Finding]:
        """The same findings, those in the residual with strengths that are given the others."""
        in_residual = [f for f in findings if f.component == RESIDUAL]
        if len(in_residual) < 2:
            return findings
        strengths = self.residual_filter.joint_strengths(shift, [f.index for f in in_residual])
        refitted = dict(zip(in_residual, strengths.tolist(), strict=True))
        return [_with_strength(f, refitted.get(f, f.strength)) for f in findings]


def _search(
    remainder: _Remainder,
    best: Callable[[_Remainder], Finding],
    subtract: Callable[[_Remainder, Finding], _Remainder],
    is_significant: Callable[[Finding], bool],
) -> list[Finding]:
    """Greedy search: take the best class out of what remains until none is significant.

    A class that repeats one found before is taken out too, but not listed again.
    """

    def clear_enough(remainder: _Remainder) -> Finding | None:
        finding = best(remainder)
        if not is_significant(finding) or abs(finding.strength) < MIN_STRENGTH_NATS:
            return None
        return finding

    return take_distinct(
        find_one_by_one(remainder, clear_enough, subtract, MAX_FINDINGS), alike=_repeats
    )


def _repeats(later: Finding, earlier: Finding) -> bool:
    """Whether a class was found before, or is a part of one that moved less than the whole."""
    later_ids, earlier_ids = set(later.token_ids), set(earlier.token_ids)
    if jaccard(later_ids, earlier_ids) >= SAME_CLASS_JACCARD:
        return True
    is_part = share_within(later_ids, earlier_ids) >= PART_SHARE
    return is_part and abs(later.strength) < abs(earlier.strength) / 2


def _with_strength(finding: Finding, strength: float) -> Finding:
    """A finding with another strength, and an interval of the same width about it."""
    assert finding.interval is not None
    half_width = (finding.interval[1] - finding.interval[0]) / 2
    return replace(
        finding, strength=strength, interval=(strength - half_width, strength + half_width)
    )


def _simplest(scores: Array, hypotheses: TokenClasses) -> int:
    """Number of the class with the best score, or of a simpler one that explains it as well."""
    best = int(scores.argmax())
    return hypotheses.simplest(best, scores >= _NEAR_SHARE * scores[best], _NEAR_JACCARD)
