"""A class of tokens that was shifted, and which findings repeat each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.overlap import PART_SHARE, SAME_CLASS_JACCARD, jaccard, share_within
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.likeness import Likeness
from tiltlm.records.base import Interval


@dataclass(frozen=True)
class Finding:
    """A class that was shifted.

    Attributes:
        event: the class, as events are written where it can be.
        token_ids: its tokens, ascending.
        component: where it shows: `RESIDUAL` or `COLUMN_SPACE`.
        index: number of the class among those that are tested.
        strength: nats.
        score: in units that one in fifty benign changes reaches with this filter; without a null,
            in standard errors.
        interval: 95 % interval of the strength, nats; the unit of replication is the benign change.
            None without a null.
        p_shifted: p-value of the score as the largest of the whole audit; None without a null.
        p_planted: p-value of its likeness to a planted tilt as the largest of the whole audit;
            None without a null.
        likeness: how the class differs within itself; None inside the column space, where a score
            is a likeness already, and without a null.
        within_reach: whether the suspect is no further from its reference than benign changes of
            the pack, once this and what was found before it are taken back.
    """

    event: str
    token_ids: tuple[int, ...]
    component: str
    index: int
    strength: float
    score: float
    interval: Interval | None = None
    p_shifted: float | None = None
    p_planted: float | None = None
    likeness: Likeness | None = None
    within_reach: bool = True

    @classmethod
    def of(
        cls, hypotheses: TokenClasses, component: str, index: int, strength: float, score: float
    ) -> Finding:
        """A finding without an interval and p-values.

        Args:
            hypotheses: the classes.
            component: as the attributes.
            index: likewise.
            strength: likewise.
            score: likewise.
        """
        ids = tuple(hypotheses.token_ids(index))
        return cls(hypotheses.names[index], ids, component, index, strength, score)

    def is_planted(self, rate: float) -> bool:
        """Whether it accuses.

        Args:
            rate: of false positives.
        """
        if self.p_planted is None or self.p_shifted is None or not self.within_reach:
            return False
        if max(self.p_planted, self.p_shifted) > rate:
            return False
        # A strength that is less than it differs within its own class is no tilt of the class,
        # however even benign changes are.
        return self.likeness is None or self.likeness.value >= 1

    def with_strength(self, strength: float) -> Finding:
        """The same with another strength, and an interval of the same width about it.

        Args:
            strength: nats.
        """
        assert self.interval is not None
        half_width = (self.interval[1] - self.interval[0]) / 2
        interval = (strength - half_width, strength + half_width)
        return replace(self, strength=strength, interval=interval)


def overlap(one: Finding, other: Finding) -> bool:
    """Whether a finding is of the same class as another, or of a part of that.

    Args:
        one: a finding.
        other: another.
    """
    return _is_same(one, other) or _is_part(one, other)


def repeats(later: Finding, earlier: Finding) -> bool:
    """Whether a class was found before, or is a part of one that moved less than the whole.

    Args:
        later: a finding.
        earlier: one before it.
    """
    if _is_same(later, earlier):
        return True
    return _is_part(later, earlier) and abs(later.strength) < abs(earlier.strength) / 2


def _is_same(one: Finding, other: Finding) -> bool:
    return jaccard(set(one.token_ids), set(other.token_ids)) >= SAME_CLASS_JACCARD


def _is_part(one: Finding, other: Finding) -> bool:
    return share_within(set(one.token_ids), set(other.token_ids)) >= PART_SHARE


_NEAR_SHARE, _NEAR_JACCARD = 0.98, 0.8
"""A class with a simpler name takes the place of the best one if it has at least this share of its
score, and if the Jaccard index of their tokens is at least this."""


def simplest(scores: Array, hypotheses: TokenClasses) -> int:
    """Number of the class with the best score, or of a simpler one that explains it as well.

    Args:
        scores: (K,).
        hypotheses: K classes.
    """
    best = int(scores.argmax())
    return hypotheses.simplest(best, scores >= _NEAR_SHARE * scores[best], _NEAR_JACCARD)
