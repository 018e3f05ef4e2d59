"""Scores of benign changes, and the p-value that they give a suspect's score.

A suspect is judged by its largest score over all classes and filters. That is compared with the
same maximum of each benign change (Westfall and Young 1993), so the false-positive rate is that of
the whole audit. Knows no models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.filters import ColumnSpaceFilter, ResidualFilter, standardised
from tiltlm.auditing.shifts.strata import Change
from tiltlm.auditing.thresholds import MIN_FAMILIES
from tiltlm.statistics.robust import monte_carlo_p

RESIDUAL, COLUMN_SPACE = "outside", "inside"
"""The two components of a shift, as records call them: the residual outside the column space of the
head, and the part inside it."""


Filter = ResidualFilter | ColumnSpaceFilter


_UNIT_QUANTILE = 0.98
"""A score of 1 is what one in fifty benign changes reaches."""


@dataclass(frozen=True)
class NullDistribution:
    """What benign changes score.

    Scores of different filters are not of one size, and a class that one family of benign changes
    moves scores more among benign changes than others do. Both are divided out, so that one
    threshold serves all.

    Attributes:
        maxima: (B,) largest score of each benign change.
        class_spreads: for each component (K,), at least 1: root mean square of each class's
            score among benign changes.
        units: for each component (K,): what a class's score is divided by.
        trigger_unit: what the score of a triggered class is divided by.
    """

    maxima: Array
    class_spreads: Mapping[str, Array]
    units: Mapping[str, Array]
    trigger_unit: float

    @classmethod
    def of(
        cls,
        filters: Mapping[str, Filter],
        null: Change,
        trigger_scores: Array | None,
        families: Sequence[str],
        on_family: Callable[[], None],
    ) -> NullDistribution:
        """Fit the filters to benign changes, and score these.

        Args:
            filters: for each component.
            null: B benign changes.
            trigger_scores: (B,) largest score of a triggered class in each, if words were tried;
                NaN where they were not.
            families: (B,) of what kind each is.
            on_family: called when the members of a family are scored, by each of the filters.
        """
        class_spreads: dict[str, Array] = {}
        units: dict[str, Array] = {}
        maxima = []
        for component, filter_ in filters.items():
            part = component_of(null, component)
            scores = _score_null(filter_, part, np.array(families), on_family)
            # Where one family moves a class and the others do not, its members score high by what
            # the others do. The class is measured by that, or its family would set the threshold
            # of all other classes.
            spread = np.maximum(1, np.sqrt((scores**2).mean(0)))
            largest = (scores / spread).max(1)
            class_spreads[component], units[component] = spread, spread * _unit(largest)
            maxima.append(largest / _unit(largest))
        trigger_unit = 1.0
        if trigger_scores is not None:
            trigger_unit = _unit(trigger_scores[~np.isnan(trigger_scores)])
            maxima.append(trigger_scores / trigger_unit)
        return cls(np.nanmax(maxima, 0), class_spreads, units, trigger_unit)

    def count_reaching(self, scores: Array) -> Array:
        """How many benign changes have a maximum of at least each of some scores.

        Args:
            scores: any shape.

        Returns:
            integers of the same shape.
        """
        ordered = np.sort(self.maxima)
        return np.asarray(len(ordered) - np.searchsorted(ordered, scores, side="left"))

    def p_value(self, score: float) -> float:
        """The p-value of a suspect whose largest score this is: (1 + number reaching) / (B + 1).

        Args:
            score: in the units of this distribution.
        """
        return monte_carlo_p(int(self.count_reaching(np.array(score))), len(self.maxima))


def component_of(change: Change, component: str) -> Array:
    """The part of a change that the filter of a component looks at.

    Args:
        change: of a suspect, or of B of them.
        component: `RESIDUAL` or `COLUMN_SPACE`.

    Returns:
        (…, V) mean log-ratios, or (…, S, D) moves.
    """
    return change.mean if component == RESIDUAL else change.moves


def _score_null(
    filter_: Filter, null: Array, families: Array, on_family: Callable[[], None]
) -> Array:
    """Score each benign change by what is known from others, and fit the filter to all.

    Where there are at least `MIN_FAMILIES` families, the members of each are scored by a filter
    that was fitted to the other families, as a suspect is whose corpus the pack does not have.

    Returns:
        (B, K), not negative; 0 where a class is not tested.
    """
    kinds = sorted(set(families.tolist()))
    if len(kinds) < MIN_FAMILIES:
        scores = np.abs(standardised(filter_.fit(null)))
        for _ in kinds:
            on_family()
    else:
        scores = np.zeros((len(null), len(filter_.testable)))
        for kind in kinds:
            family = families == kind
            filter_.fit(null[~family])
            scores[family] = np.abs(standardised(filter_.scores(null[family])))
            on_family()
        filter_.fit(null)
    return np.asarray(np.where(filter_.testable, scores, 0.0))


def _unit(maxima: Array) -> float:
    """What the maxima of a filter are divided by: a value that few of them reach.

    It is at least one spread: where a null shows nothing at all, its quantile is no measure.
    """
    return max(float(np.quantile(maxima, _UNIT_QUANTILE)), 1.0)
