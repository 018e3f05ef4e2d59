"""The null distribution of an audit by log-probabilities: what benign changes show and score.

The same regression is made of each member of a pack, at the same positions and by the tokens that
it would have shown itself, so the largest score over all classes is compared with theirs (Westfall
and Young 1993), and so is how like a planted tilt the class is that stands out most. Neither a
member's mean log-ratio over all positions will do, nor its log-ratios among the reference's
likeliest tokens: what a suspect hides changes what is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logprobs.kept_null import KnownScores
from tiltlm.auditing.logprobs.likeness import context_likeness
from tiltlm.auditing.logprobs.ranking import class_scales, class_strengths, rank_classes
from tiltlm.auditing.logprobs.regression import TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.place_covariance import MIN_SCALE_NATS, PlaceCovariance
from tiltlm.auditing.thresholds import MIN_FAMILIES
from tiltlm.progress import Advance

_MEDIAN_SHARE = 0.1
"""The spread of every class is joined, as a root of squares, by this many times that of the median
class."""


_PRIOR_MEMBERS, _PRIOR_QUANTILE, _MIN_MEMBERS = 20, 0.9, 10
"""The variance of a class among benign changes is estimated as if, besides the members that show
the class, so many more members had a variance at this quantile of all classes. A class that few
members show is thus taken to vary widely until enough of them say otherwise. The quantile is over
classes that at least `_MIN_MEMBERS` members show."""


@dataclass(frozen=True)
class MemberMaxima:
    """What stands out most in each of B benign changes.

    Attributes:
        scores: (B,) largest score of each.
        likeness: (B,) how like a planted tilt the class is that stands out most.
    """

    scores: Array
    likeness: Array

    @classmethod
    def zeros(cls, count: int) -> MemberMaxima:
        """Of benign changes in which nothing stands out.

        Args:
            count: B.
        """
        return cls(np.zeros(count), np.zeros(count))


class TopKNull:
    """What benign changes show at the positions where a suspect was asked, scored like a suspect.

    For each class it knows how far benign changes move it, in units of their scale, and for each
    benign change its largest score over all classes, and how like a planted tilt that class is.
    Each is scored by what members of other families do, and by the covariance that is learnt
    without its own, as a suspect is whose corpus the pack does not have.

    Attributes:
        information_shares: (K,) how much of the information on each class the tokens beside it
            and a moved body leave, at the tokens that the reference shows.
        spread: (K,) how far benign changes move each class, in units of their scale.
    """

    def __init__(
        self,
        members: Sequence[TopKLogRatios],
        reference: TopKLogRatios | None,
        hypotheses: TokenClasses,
        covariance: PlaceCovariance,
        families: Sequence[str],
        without: Mapping[str, Array] | None = None,
        advance: Advance | None = None,
        known: KnownScores | None = None,
    ) -> None:
        """Measure the strengths of all classes in each member.

        Args:
            members: what each of B benign changes shows.
            reference: what the reference shows, as a suspect of itself; not needed if ``known``.
            hypotheses: K classes.
            covariance: of log-ratios at a position, by what a moved body does.
            families: (B,) of what kind each is. With fewer than three, every member counts as a
                family of its own.
            without: (D, D) covariance of benign Δh by the family that it was learnt without
                (`covariances_without`); members of others are scored by ``covariance``.
            advance: is told how many are done, of twice the members.
            known: what `scores` gave for just these; it is not measured again then.
        """
        self._members, self._hypotheses, self._covariance = list(members), hypotheses, covariance
        few = len(set(families)) < MIN_FAMILIES
        self._families = np.array([str(n) for n in range(len(families))] if few else families)
        self._advance = advance or (lambda _: None)
        self._without = without or {}
        self._maxima: dict[float, MemberMaxima] = {}
        if known is None:
            assert reference is not None
            self._measure(reference)
        else:
            self.information_shares: Array = known.information_shares
            self._strengths, self._testable = known.strengths, known.testable
            self._maxima[0.0] = MemberMaxima(known.largest, known.likeness)
        self.spread: Array = self._spread(np.ones(len(self._members), bool))

    def _measure(self, reference: TopKLogRatios) -> None:
        """The strengths of all classes in each member."""
        hypotheses, done = self._hypotheses, 0
        self.information_shares = TopKRegression(
            reference, hypotheses, self._covariance
        ).information_shares()
        shape = len(self._members), len(hypotheses)
        self._strengths, self._testable = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for own, place in self._by_family():
            for number in np.flatnonzero(own):
                member = self._members[number]
                regression = TopKRegression(member, hypotheses, place)
                token_sums = regression.token_sums(member.ratios)
                nats, tested = class_strengths(regression, token_sums, self.information_shares)
                self._strengths[number] = nats / max(member.scale, MIN_SCALE_NATS)
                self._testable[number] = tested
                done += 1
                self._advance(done)

    def scores(self) -> KnownScores:
        """All that was measured, which another null of the same members can take."""
        maxima = self.maxima()
        return KnownScores(
            self.information_shares, self._strengths, self._testable, maxima.scores, maxima.likeness
        )

    def maxima(self, server_noise: float = 0.0) -> MemberMaxima:
        """What stands out most in each benign change, by the spread of those of other families.

        Args:
            server_noise: as for `class_scales`.
        """
        if server_noise not in self._maxima:
            self._maxima[server_noise] = self._compute_maxima(server_noise)
        return self._maxima[server_noise]

    def _compute_maxima(self, server_noise: float) -> MemberMaxima:
        """As `maxima`, family by family."""
        maxima, done = MemberMaxima.zeros(len(self._members)), len(self._members)
        for own, place in self._by_family():
            spread = self._spread(own if own.all() else ~own)
            for number in np.flatnonzero(own):
                member = self._members[number]
                regression = TopKRegression(member, self._hypotheses, place)
                scales = class_scales(spread, server_noise, regression, self.information_shares)
                best = rank_classes(regression, member, self.information_shares, scales)
                if best is not None:
                    error = float(scales[best.index]) * best.scale
                    maxima.scores[number] = best.score
                    maxima.likeness[number] = context_likeness(
                        regression, member, best, error
                    ).value
                done += 1
                self._advance(done)
        return maxima

    def _by_family(self) -> Iterator[tuple[Array, PlaceCovariance]]:
        """(B,) which members are of a family, and how others move; of each family in turn."""
        for name in dict.fromkeys(self._families.tolist()):
            moves = self._without.get(name)
            place = self._covariance if moves is None else self._covariance.with_moves(moves)
            yield self._families == name, place

    def _spread(self, members: Array) -> Array:
        """(K,) how far some members move each class, in units of their scale."""
        strengths, testable = self._strengths[members], self._testable[members]
        count = testable.sum(0)
        squares = (strengths.astype(float) ** 2).sum(0)
        # In a pack so small that no class is shown by `_MIN_MEMBERS` members, the quantile is taken
        # over the classes that most members show.
        enough = count >= min(_MIN_MEMBERS, count.max(initial=1))
        variances = squares[enough] / count[enough]
        high, median = (
            np.quantile(variances, [_PRIOR_QUANTILE, 0.5]) if len(variances) else (0.0, 0.0)
        )
        shrunk = (squares + _PRIOR_MEMBERS * high) / (count + _PRIOR_MEMBERS)
        return np.asarray(np.sqrt(shrunk + _MEDIAN_SHARE**2 * median))
