"""What benign changes show where a suspect is asked, as strengths and scores of all classes.

The same regression is made of each member of a pack, at the same places and by the tokens that it
would have shown itself, so the largest score over all classes is compared with theirs (Westfall and
Young 1993). (Neither a member's mean log-ratio over all positions nor its log-ratios among the
reference's likeliest tokens will do: what a suspect hides changes what is seen.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logprobs.ranking import class_scales, class_strengths, rank_classes
from tiltlm.auditing.logprobs.regression import TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.place_covariance import SMALLEST_SCALE, PlaceCovariance
from tiltlm.auditing.thresholds import FAMILIES
from tiltlm.progress import Advance

_PRIOR = 0.1
"""Each class's spread under the null is joined by so many times the median class's."""


_UNSEEN, _WIDE, _ENOUGH = 20, 0.9, 10
"""A class that few members show has a spread that few vouch for: it counts as if so many more had
moved it as far as this quantile of classes is moved; quantiles are of classes that enough show."""


class TopKNull:
    """What benign changes show at the same places, as strengths of all classes.

    Args:
        members: what each shows.
        reference: what the reference shows, as a suspect of itself.
        hypotheses: classes.
        moves: what a moved body does.
        families: (B,) of what kind each is; each is scored by what the others do.
        advance: told how many are done, of twice the members.
    """

    def __init__(
        self,
        members: Sequence[TopKLogRatios],
        reference: TopKLogRatios,
        hypotheses: TokenClasses,
        moves: PlaceCovariance,
        families: Sequence[str],
        advance: Advance | None = None,
    ) -> None:
        self.shares = TopKRegression(reference, hypotheses, moves).shares()
        self._members, self._hypotheses, self._moves = list(members), hypotheses, moves
        alone = len(set(families)) < FAMILIES
        self._families = np.array([str(n) for n in range(len(families))] if alone else families)
        self._advance = advance or (lambda _: None)
        strengths, visible = [], []
        for number, seen in enumerate(self._members):
            lens = TopKRegression(seen, hypotheses, moves)
            found, judged = class_strengths(lens, lens.total(seen.ratios), self.shares)
            strengths.append((found / max(seen.scale, SMALLEST_SCALE)).astype(np.float32))
            visible.append(judged)
            self._advance(number + 1)
        self._strengths, self._visible = np.stack(strengths), np.stack(visible)
        self._maxima: dict[tuple[str, float], Array] = {}

    def spread(self, without: str = "") -> Array:
        """(K,) how far benign changes move each class, in units of their scale.

        Args:
            without: a family that is left out.
        """
        return self._spread(self._families != without)

    def maxima(self, without: str = "", besides: float = 0.0) -> Array:
        """(B,) the largest score of each member, by the spread of those of other families.

        Args:
            without: a family that is left out.
            besides: as for `class_scales`.
        """
        if (without, besides) not in self._maxima:
            self._maxima[without, besides] = self._made(without, besides)
        return self._maxima[without, besides]

    def _made(self, without: str, besides: float) -> Array:
        found, done = [], len(self._members)
        for own, others in self._by_family(without):
            spread = self._spread(others)
            for member in np.flatnonzero(own):
                seen = self._members[member]
                lens = TopKRegression(seen, self._hypotheses, self._moves)
                reach = class_scales(spread, besides, lens, self.shares)
                best = rank_classes(lens, seen, self.shares, reach)
                found.append(best.score if best else 0.0)
                done += 1
                self._advance(done)
        return np.array(found)

    def _by_family(self, without: str) -> Iterator[tuple[Array, Array]]:
        """(B,) which members are of a family, and which of the others."""
        kept = self._families != without
        for kind in dict.fromkeys(self._families[kept].tolist()):
            own = self._families == kind
            others = kept & ~own
            yield own, others if others.any() else own

    def _spread(self, members: Array) -> Array:
        strengths, visible = self._strengths[members], self._visible[members]
        count = visible.sum(0)
        squares = (strengths.astype(float) ** 2).sum(0)
        enough = count >= min(_ENOUGH, count.max(initial=1))
        each = squares[enough] / count[enough]
        wide, middle = np.quantile(each, [_WIDE, 0.5]) if len(each) else (0.0, 0.0)
        joined = (squares + _UNSEEN * wide) / (count + _UNSEEN) + _PRIOR**2 * middle
        return np.asarray(np.sqrt(joined))
