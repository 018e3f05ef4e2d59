"""The search for classes that a suspect shifts, and for those that were planted, with p-values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.knowledge import Knowledge
from tiltlm.auditing.benign.learning import candidates
from tiltlm.auditing.benign.null_distribution import COLUMN_SPACE, RESIDUAL
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logits.finding import Finding, overlap, repeats, simplest
from tiltlm.auditing.search import find_one_by_one, take_distinct
from tiltlm.auditing.shifts.filters import (
    ColumnSpaceFilter,
    ResidualFilter,
    explained_by_body,
    residual_spread,
)
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.likeness import (
    class_likeness,
    often_enough,
    spread_over_strata,
    stratum_weights,
)
from tiltlm.auditing.shifts.strata import Change
from tiltlm.auditing.shifts.templates import Templates
from tiltlm.auditing.thresholds import MAX_FINDINGS, MIN_STRENGTH_NATS

_NORMAL_QUANTILE = 1.96
"""Of a 95 % interval."""


@dataclass(frozen=True)
class _Look:
    """How one filter sees a change.

    Attributes:
        scores: (K,) in units that one in fifty benign changes reaches; 0 where not tested.
        standing: (K,) scores before they are divided by how far benign changes move each class.
        strengths: (K,) nats.
        errors: (K,) how far benign changes of this size move each strength, nats.
    """

    scores: Array
    standing: Array
    strengths: Array
    errors: Array


@dataclass(frozen=True)
class _View:
    """A change as both filters see it.

    Attributes:
        looks: of each component.
        residual: (V,) what no moved body explains, nats.
        stratum_spreads: (K,) how far strengths outside differ from stratum to stratum, nats.
    """

    looks: Mapping[str, _Look]
    residual: Array
    stratum_spreads: Array


class Auditor:
    """Names the classes that were shifted in a suspect, given its change from the reference.

    Every class is a hypothesis, scored by two filters: by the residual of the log-ratios outside
    the column space of the head, where a tilt by the head shows, and by the moves inside it,
    where a tilt by the body shows. The largest score is compared with the largest of each benign
    change: that a class was shifted. Its likeness to a planted tilt is compared with the largest
    of each benign change too: only that accuses. What is found is taken out of the change, and the
    search goes on.

    Args:
        geometry: of the reference's head.
        templates: of the reference.
        knowledge: of its benign changes.

    Attributes:
        geometry: as given.
        residual_filter: scores what lies outside the column space.
        column_space_filter: scores what lies inside it.
        null: what benign changes score.
    """

    def __init__(self, geometry: HeadGeometry, templates: Templates, knowledge: Knowledge) -> None:
        self.geometry, self.null = geometry, knowledge.null
        hypotheses = knowledge.hypotheses
        self.residual_filter = ResidualFilter(geometry, hypotheses, knowledge.residual_sizes)
        self.column_space_filter = ColumnSpaceFilter(
            geometry, hypotheses, templates, knowledge.covariance, knowledge.norms
        )
        self._noise = knowledge.token_noise
        self._last: tuple[Change, _View] | None = None
        positions = np.bincount(templates.strata.numpy()).astype(float)
        self._often = often_enough(self.residual_filter, templates.mass)
        self._stratum_weights = stratum_weights(self.residual_filter, templates.mass, positions)

    def best(self, change: Change) -> Finding:
        """The class that a change speaks most for, whether or not it is significant.

        Args:
            change: of a suspect.
        """
        return self._most_shifted(self._view(change))

    def find(self, change: Change, rate: float) -> list[Finding]:
        """Classes found one after another, each with those before it taken out of the change.

        Those that look planted come before those that were only shifted.

        Args:
            change: of a suspect.
            rate: of false positives: of planted classes named, and of shifted ones, for a benign
                change each.

        Returns:
            at most `MAX_FINDINGS` classes. Strengths of those found in the residual are joint, each
            given the others.
        """

        def clearest(remainder: Change) -> Finding | None:
            view = self._view(remainder)
            planted = self._most_planted(view, rate)
            if planted is not None:
                return planted
            shifted = self._most_shifted(view)
            clear = shifted.p_shifted is not None and shifted.p_shifted <= rate
            return shifted if clear and abs(shifted.strength) >= MIN_STRENGTH_NATS else None

        found = find_one_by_one(change, clearest, self.without, MAX_FINDINGS)
        return self._refit_jointly(change.mean, take_distinct(found, alike=repeats))

    def without(self, change: Change, finding: Finding) -> Change:
        """A change with the part of a class taken out of its log-ratios and its moves.

        What lies outside the column space is taken out of each stratum as strongly as it is there:
        an edit tilts some more than others, and what is left would look like a moved body.

        Args:
            change: of a suspect.
            finding: in it.

        Returns:
            the rest, whose log-ratios are centred as the change's were.
        """
        if finding.component == RESIDUAL:
            mask = self.residual_filter.class_mask(finding.index)
            mask -= mask.mean()  # Log-ratios are centred, and what is left of them has to be.
            strengths = self.residual_filter.joint_strengths(change.by_stratum.T, [finding.index]).T
            mean, by_stratum = finding.strength * mask, strengths * mask
            moves = strengths * self.geometry.solve_moves(mask)
        else:
            moves = finding.strength * self.column_space_filter.template(finding.index)
            by_stratum = np.stack([self.geometry.log_ratios_of(move) for move in moves])
            mean = self.geometry.log_ratios_of(moves.mean(0))
        return Change(change.mean - mean, change.moves - moves, change.by_stratum - by_stratum)

    def _view(self, change: Change) -> _View:
        """Score all classes in a change; that which was looked at last is not looked at again."""
        if self._last is None or self._last[0] is not change:
            self._last = (change, self._viewed(change))
        return self._last[1]

    def _viewed(self, change: Change) -> _View:
        """As `_view`."""
        outside, inside = self.residual_filter, self.column_space_filter
        residual = outside.residual(change.mean[None])
        strengths, size = outside.strengths_of(residual)[0], residual_spread(residual)[0]
        spread = self.null.components[RESIDUAL].spread
        explained = float(explained_by_body(change.mean[None], residual)[0])
        ratios_inside, strengths_inside = inside.ratios_and_strengths(change.moves, explained)
        looks = {
            RESIDUAL: self._look(
                RESIDUAL, strengths / size, strengths, spread * size, outside.testable
            ),
            COLUMN_SPACE: self._look(
                COLUMN_SPACE,
                ratios_inside,
                strengths_inside,
                inside.errors(change.moves, explained, self.null.components[COLUMN_SPACE].spread),
                inside.testable,
            ),
        }
        spreads = spread_over_strata(outside, change.by_stratum, self._stratum_weights)
        return _View(looks, residual[0], spreads)

    def _look(
        self, component: str, ratios: Array, strengths: Array, errors: Array, testable: Array
    ) -> _Look:
        null = self.null.components[component]
        scores = null.scores(ratios) / self.null.unit(component)
        standing = null.standard_scores(ratios)
        return _Look(
            np.where(testable, scores, 0.0), np.where(testable, standing, 0.0), strengths, errors
        )

    def _most_shifted(self, view: _View) -> Finding:
        """The class with the largest score of both filters."""
        component = max(view.looks, key=lambda name: float(view.looks[name].scores.max()))
        look = view.looks[component]
        # Of classes with the same p-value, the one that stands out most by itself.
        p = self.null.p_shifted(look.scores)
        index = simplest(np.where(p == p.min(), look.standing, 0.0), self._hypotheses)
        return self._judged(view, component, index)

    def _most_planted(self, view: _View, rate: float) -> Finding | None:
        """The class that stands out most of those that are like planted tilts; None without any.

        Where both filters name the same class, or that inside names a part of it, a tilt by the
        head shows inside the column space too; but its template there is what a body would have
        made, and sees a part of it. So what lies outside goes before what lies inside, unless that
        is clearly stronger.
        """
        found = {}
        for component, look in view.looks.items():
            likely = np.zeros(len(self._hypotheses))
            for index in candidates(np.where(self._often, look.scores, 0.0)):
                finding = self._judged(view, component, index)
                if finding.is_planted(rate) and abs(finding.strength) >= MIN_STRENGTH_NATS:
                    likely[index] = look.standing[index]
            if likely.any():
                index = simplest(likely, self._hypotheses)
                found[component] = self._judged(view, component, index)
        clearest = max(found.values(), key=lambda finding: finding.score, default=None)
        outside, inside = found.get(RESIDUAL), found.get(COLUMN_SPACE)
        if outside is None or inside is None or not overlap(inside, outside):
            return clearest
        assert inside.interval is not None
        least = min(abs(end) for end in inside.interval)
        return inside if least > abs(outside.strength) else outside

    @property
    def _hypotheses(self) -> TokenClasses:
        return self.residual_filter.hypotheses

    def _judged(self, view: _View, component: str, index: int) -> Finding:
        """A class with its interval and p-values."""
        look, likeness = view.looks[component], None
        strength, score = float(look.strengths[index]), float(look.scores[index])
        error, planted = float(look.errors[index]), score
        if component == RESIDUAL:
            likeness = class_likeness(
                self.residual_filter,
                index,
                view.residual,
                strength,
                error,
                float(view.stratum_spreads[index]),
                self._noise,
            )
            planted = likeness.value / self.null.likeness_unit
        half_width = _NORMAL_QUANTILE * error
        p_planted = float(self.null.p_planted(planted)) if self._often[index] else 1.0
        return replace(
            Finding.of(self._hypotheses, component, index, strength, score),
            interval=(strength - half_width, strength + half_width),
            p_shifted=float(self.null.p_shifted(score)),
            p_planted=p_planted,
            likeness=likeness,
        )

    def _refit_jointly(self, shift: Array, findings: list[Finding]) -> list[Finding]:
        """The same findings, those in the residual with strengths that are given the others."""
        in_residual = [f for f in findings if f.component == RESIDUAL]
        if len(in_residual) < 2:
            return findings
        strengths = self.residual_filter.joint_strengths(shift, [f.index for f in in_residual])
        refitted = dict(zip(in_residual, strengths.tolist(), strict=True))
        return [f.with_strength(refitted.get(f, f.strength)) for f in findings]
