"""The null distribution of an audit by log-probabilities: what benign changes show and score.

The same regression is made of each member of a pack, at the same positions and by the tokens that
it would have shown itself, so the largest score over all classes is compared with theirs (Westfall
and Young 1993). Neither a member's mean log-ratio over all positions will do, nor its log-ratios
among the reference's likeliest tokens: what a suspect hides changes what is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
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


class TopKNull:
    """What benign changes show at the positions where a suspect was asked, scored like a suspect.

    For each class it knows how far benign changes move it, in units of their scale, and for each
    benign change its largest score over all classes. Each is scored by what members of other
    families do, as a suspect is whose corpus the pack does not have.

    Attributes:
        information_shares: (K,) how much of the information on each class the tokens beside it
            and a moved body leave, at the tokens that the reference shows.
    """

    def __init__(
        self,
        members: Sequence[TopKLogRatios],
        reference: TopKLogRatios,
        hypotheses: TokenClasses,
        covariance: PlaceCovariance,
        families: Sequence[str],
        advance: Advance | None = None,
    ) -> None:
        """Measure the strengths of all classes in each member.

        Args:
            members: what each of B benign changes shows.
            reference: what the reference shows, as a suspect of itself.
            hypotheses: K classes.
            covariance: of log-ratios at a position, by what a moved body does.
            families: (B,) of what kind each is. With fewer than three, every member counts as a
                family of its own.
            advance: is told how many are done, of twice the members.
        """
        self.information_shares = TopKRegression(
            reference, hypotheses, covariance
        ).information_shares()
        self._members, self._hypotheses, self._covariance = list(members), hypotheses, covariance
        few = len(set(families)) < MIN_FAMILIES
        self._families = np.array([str(n) for n in range(len(families))] if few else families)
        self._advance = advance or (lambda _: None)
        strengths, testable = [], []
        for number, member in enumerate(self._members):
            regression = TopKRegression(member, hypotheses, covariance)
            token_sums = regression.token_sums(member.ratios)
            nats, tested = class_strengths(regression, token_sums, self.information_shares)
            strengths.append((nats / max(member.scale, MIN_SCALE_NATS)).astype(np.float32))
            testable.append(tested)
            self._advance(number + 1)
        self._strengths, self._testable = np.stack(strengths), np.stack(testable)
        self._maxima: dict[tuple[str, float], Array] = {}

    def spread(self, omitted_family: str = "") -> Array:
        """How far benign changes move each class.

        Args:
            omitted_family: whose members are left out.

        Returns:
            (K,) in units of their scale.
        """
        return self._spread(self._families != omitted_family)

    def maxima(self, omitted_family: str = "", server_noise: float = 0.0) -> Array:
        """The largest score of each benign change, by the spread of those of other families.

        Args:
            omitted_family: whose members are left out.
            server_noise: as for `class_scales`.

        Returns:
            (B,), fewer where a family is left out.
        """
        key = omitted_family, server_noise
        if key not in self._maxima:
            self._maxima[key] = self._compute_maxima(omitted_family, server_noise)
        return self._maxima[key]

    def _compute_maxima(self, omitted_family: str, server_noise: float) -> Array:
        """(B,) as for `maxima`, family by family."""
        maxima, done = [], len(self._members)
        for family, others in self._by_family(omitted_family):
            spread = self._spread(others)
            for number in np.flatnonzero(family):
                member = self._members[number]
                regression = TopKRegression(member, self._hypotheses, self._covariance)
                scales = class_scales(spread, server_noise, regression, self.information_shares)
                best = rank_classes(regression, member, self.information_shares, scales)
                maxima.append(best.score if best else 0.0)
                done += 1
                self._advance(done)
        return np.array(maxima)

    def _by_family(self, omitted_family: str) -> Iterator[tuple[Array, Array]]:
        """(B,) which members are of a family, and which of the others; of each family in turn."""
        included = self._families != omitted_family
        for name in dict.fromkeys(self._families[included].tolist()):
            family = self._families == name
            others = included & ~family
            yield family, others if others.any() else family

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
