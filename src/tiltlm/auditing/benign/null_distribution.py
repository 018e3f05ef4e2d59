"""What benign changes score, and the p-values that they give a suspect's scores.

A suspect is judged by its largest score over all classes and filters. That is compared with the
same maximum of each benign change (Westfall and Young 1993), so the false-positive rate is that of
the whole audit. That a class was shifted is said of changes of the pack's own kinds: each benign
change is scored by what is known without the training that it comes of. That it was planted is said
of changes of any kind: each is looked at by what is known without its family, as a suspect is whose
corpus the pack does not have. Knows no models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.filters import score_spread, standardised
from tiltlm.auditing.thresholds import MIN_FAMILIES

RESIDUAL, COLUMN_SPACE = "outside", "inside"
"""The two components of a shift, as records call them: the residual outside the column space of the
head, and the part inside it."""


_UNIT_QUANTILE = 0.98
"""A score of 1 is what one in fifty benign changes reaches."""


_FOLDS = 5
"""Groups that benign changes are put into at random where they are of too few families."""


@dataclass(frozen=True)
class ComponentNull:
    """What benign changes score by the filter of one component.

    Attributes:
        spread: (K,) what the ratio of each class is divided by.
        medians: (G + 1,) spread of the median class without each group of benign changes, and with
            all; what priors are made of where further classes are learnt.
        own_spreads: (B,) spread of each benign change's scores over classes.
        class_spreads: (K,) at least 1: root mean square of each class's score among benign changes.
        largest: (B,) largest score of each benign change, by what is known without its own group.
    """

    spread: Array
    medians: Array
    own_spreads: Array
    class_spreads: Array
    largest: Array

    def scores(self, ratios: Array) -> Array:
        """Scores of a suspect.

        Args:
            ratios: (K,) by the filter.

        Returns:
            (K,), not negative.
        """
        return np.asarray(self.standard_scores(ratios) / self.class_spreads)

    def standard_scores(self, ratios: Array) -> Array:
        """Scores before they are divided by how far single benign changes move a class.

        Args:
            ratios: (K,) by the filter.

        Returns:
            (K,), not negative.
        """
        return np.asarray(np.abs(standardised((ratios / self.spread)[None]))[0])

    def joined(self, added: ComponentNull) -> ComponentNull:
        """With further classes, that were learnt from the same benign changes.

        Args:
            added: of these classes, learnt with this one as their base.
        """
        return ComponentNull(
            np.concatenate([self.spread, added.spread]),
            self.medians,
            self.own_spreads,
            np.concatenate([self.class_spreads, added.class_spreads]),
            np.maximum(self.largest, added.largest),
        )


@dataclass(frozen=True)
class MemberScores:
    """How each of B benign changes is scored without its own group.

    Attributes:
        scores: (B, K) not negative; 0 where a class is not tested.
        spreads: (B, K) what ratios were divided by.
    """

    scores: Array
    spreads: Array


def score_members(
    ratios: Array,
    testable: Array,
    groups: Array,
    prior: float,
    floor: Array | float,
    base: ComponentNull | None = None,
) -> tuple[ComponentNull, MemberScores]:
    """Score benign changes by each other, group by group.

    Where one group moves a class and the others do not, its members score high, since nothing of
    their group is known to what they are scored by: that is how a suspect of a new kind scores.

    Args:
        ratios: (B, K) of benign changes by the filter, where it can be without knowledge of their
            own group.
        testable: (K,) booleans.
        groups: (B,) number of the group of each, from 0.
        prior: share of the median class's spread that joins that of each class.
        floor: (K,) that joins it too.
        base: where these are further classes, what is known of those that the vocabulary has:
            single lists have no median and no spread of their own to go by.
    """
    count = int(groups.max()) + 1
    squares = _mean_squares_of_others(ratios, groups)
    medians = np.median(np.sqrt(squares), axis=1) if base is None else base.medians
    priors = np.hypot(prior * medians[:, None], floor)
    spreads = np.sqrt(squares + priors**2)
    scores = ratios / spreads[groups]
    own_spreads = score_spread(scores) if base is None else base.own_spreads
    scores = np.where(testable, np.abs(standardised(scores, own_spreads)), 0.0)
    class_spreads = np.sqrt(_mean_squares_of_others(scores, groups)).clip(1)
    scores = scores / class_spreads[groups]
    largest = scores.max(1, initial=0.0)
    null = ComponentNull(spreads[count], medians, own_spreads, class_spreads[count], largest)
    return null, MemberScores(scores, spreads[groups])


def _mean_squares_of_others(values: Array, groups: Array) -> Array:
    """Mean squares over benign changes without each group, and over all.

    Args:
        values: (B, K).
        groups: (B,) numbers from 0 to G − 1.

    Returns:
        (G + 1, K); of a group without others, its own.
    """
    count = int(groups.max()) + 1
    means = np.empty((count + 1, values.shape[1]))
    for group in range(count + 1):
        others = groups != group
        means[group] = (values[others if others.any() else ~others] ** 2).mean(0)
    return means


def leave_out_groups(families: Sequence[str], count: int) -> Array:
    """Which benign changes are left out together: families, or random fifths if those are few.

    Args:
        families: (B,) of what kind each is, or empty.
        count: B.

    Returns:
        (B,) numbers from 0.

    >>> leave_out_groups(["a", "b", "a", "c"], 4).tolist()
    [0, 1, 0, 2]
    """
    if len(set(families)) >= MIN_FAMILIES:
        names = sorted(set(families))
        return np.array([names.index(family) for family in families])
    return np.random.default_rng(0).permutation(count) % min(_FOLDS, count)


def unit_groups(units: Sequence[int], count: int) -> Array:
    """Which benign changes come of one training.

    Args:
        units: (B,) number of the training of each; empty where each stands alone.
        count: B.

    Returns:
        (B,) numbers from 0.

    >>> unit_groups([7, 7, 9], 3).tolist(), unit_groups([], 2).tolist()
    ([0, 0, 1], [0, 1])
    """
    if not len(units):
        return np.arange(count)
    return np.unique(units, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class NullDistribution:
    """The maxima of benign changes over both filters and, where words were tried, triggers.

    Scores of different filters are not of one size, so each is divided by a quantile of its own.

    Attributes:
        components: what benign changes score by each filter; outside the column space by what is
            known without the training that they come of, inside without their family.
        trigger_scores: (B,) largest score of a triggered class; empty where no words were tried.
        likeness: (B,) how much the class of each that is most like a tilt of the head is like one
            (`planted_likeness`).
    """

    components: Mapping[str, ComponentNull]
    trigger_scores: Array
    likeness: Array

    @property
    def shift_maxima(self) -> Array:
        """(B,) largest score of each, in units that one in fifty benign changes reaches."""
        maxima = [null.largest / self.unit(name) for name, null in self.components.items()]
        if len(self.trigger_scores):
            maxima.append(self.trigger_scores / self.trigger_unit)
        return np.asarray(np.max(maxima, 0))

    @property
    def planted_maxima(self) -> Array:
        """(B,) how much each is like a planted tilt, by the filter by which it is more so.

        Inside the column space a score is a likeness already: of the pattern over strata and
        directions to that of a tilt.
        """
        inside = self.components[COLUMN_SPACE].largest / self.unit(COLUMN_SPACE)
        return np.asarray(np.maximum(self.likeness / self.likeness_unit, inside))

    def unit(self, component: str) -> float:
        """What scores of a component are divided by.

        Args:
            component: `RESIDUAL` or `COLUMN_SPACE`.
        """
        return _unit(self.components[component].largest)

    @property
    def trigger_unit(self) -> float:
        """What the score of a triggered class is divided by."""
        return _unit(self.trigger_scores) if len(self.trigger_scores) else 1.0

    @property
    def likeness_unit(self) -> float:
        """What a likeness is divided by."""
        return _unit(self.likeness)

    def p_shifted(self, score: float | Array) -> Array:
        """The p-value of a score as the largest of the whole audit.

        Args:
            score: in units of this distribution; any shape.

        Returns:
            of the same shape.
        """
        return _p_values(self.shift_maxima, score)

    def p_triggered(self, score: float) -> float:
        """The p-value of a triggered class, as the largest of the whole audit.

        Args:
            score: in units of this distribution.

        Returns:
            at least what the members at which words were tried can vouch for.
        """
        tried = len(np.unique(self.trigger_scores))  # The others took theirs in turn.
        return max(float(self.p_shifted(score)), 1 / (tried + 1))

    def p_planted(self, score: float | Array) -> Array:
        """The p-value of a likeness as the largest of the whole audit.

        Args:
            score: in units of this distribution; any shape.

        Returns:
            of the same shape.
        """
        return _p_values(self.planted_maxima, score)


def _p_values(maxima: Array, scores: float | Array) -> Array:
    """(1 + number of maxima that reach a score) / (B + 1), as `monte_carlo_p` of each."""
    reaching = len(maxima) - np.searchsorted(np.sort(maxima), scores, side="left")
    return np.asarray((1 + reaching) / (1 + len(maxima)))


def _unit(maxima: Array) -> float:
    """What the maxima of a filter are divided by: a value that few of them reach.

    It is at least one spread: where a null shows nothing at all, its quantile is no measure.
    """
    return max(float(np.quantile(maxima, _UNIT_QUANTILE)), 1.0)
