"""Learn from benign changes how they move each class, and how like a planted tilt that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.changes import BenignChanges
from tiltlm.auditing.benign.knowledge import Knowledge
from tiltlm.auditing.benign.null_distribution import (
    COLUMN_SPACE,
    RESIDUAL,
    ComponentNull,
    MemberScores,
    NullDistribution,
    leave_out_groups,
    score_members,
    unit_groups,
)
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.covariance import MoveCovariance
from tiltlm.auditing.shifts.filters import (
    ColumnSpaceFilter,
    ResidualFilter,
    explained_by_body,
    residual_spread,
)
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.likeness import class_likeness, often_enough, token_noise
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.templates import Templates
from tiltlm.progress import NoProgress, Progress

CANDIDATES = 16
"""Classes of a change, those with the largest scores, that are held against planted tilts."""


def learn_at(
    reader: ShiftReader,
    strata: torch.Tensor,
    geometry: HeadGeometry,
    hypotheses: TokenClasses,
    changes: BenignChanges,
    progress: Progress | None = None,
) -> Knowledge:
    """Read what a tilt of each class looks like in the reference, and learn.

    Args:
        reader: of the reference, at N positions.
        strata: (N,) number of the stratum of each.
        geometry: of the reference's head.
        hypotheses: K classes.
        changes: of the reference.
        progress: told of progress.
    """
    progress, done = progress or NoProgress(), count(1)
    progress.begin("learning what is benign", 1 + parts_of_learning(changes))
    templates = Templates.of(reader.rows, reader.logits, strata, geometry.rows)
    progress.advance(next(done))
    residual_filter = ResidualFilter(geometry, hypotheses)
    return learn(residual_filter, templates, changes, lambda: progress.advance(next(done)))


def learn(
    residual_filter: ResidualFilter,
    templates: Templates,
    changes: BenignChanges,
    on_part: Callable[[], None] = lambda: None,
) -> Knowledge:
    """Learn all that a suspect is judged by.

    Args:
        residual_filter: of K classes.
        templates: of the reference.
        changes: of the reference.
        on_part: called `parts_of_learning` times.
    """
    hypotheses, groups = (
        residual_filter.hypotheses,
        leave_out_groups(changes.families, len(changes)),
    )
    residuals = residual_filter.residual(changes.shifts)
    outside, _ = _outside(residual_filter, residuals, _units(changes), None)
    _, scores = _outside(residual_filter, residuals, groups, None)
    often = often_enough(residual_filter, templates.mass)
    likeness = _member_likeness(residual_filter, residuals, scores, changes, groups, often)
    on_part()
    ratios, norms, covariance = _inside_ratios(
        templates, hypotheses, changes, residuals, groups, on_part
    )
    inside, _ = score_members(
        ratios, residual_filter.frequent, groups, ColumnSpaceFilter.PRIOR, 0.0
    )
    return Knowledge(
        hypotheses=hypotheses,
        residual_sizes=residual_filter.sizes,
        norms=norms,
        covariance=covariance,
        normal=templates.normal,
        mean_rows=templates.mean_rows,
        mass=templates.mass,
        token_noise=token_noise(residuals),
        null=NullDistribution(
            {RESIDUAL: outside, COLUMN_SPACE: inside}, changes.trigger_scores, likeness
        ),
    )


def parts_of_learning(changes: BenignChanges) -> int:
    """How often `learn` says how far it is.

    Args:
        changes: to be learnt from.
    """
    return 2 + int(leave_out_groups(changes.families, len(changes)).max())


def with_classes(
    knowledge: Knowledge,
    added: TokenClasses,
    geometry: HeadGeometry,
    templates: Templates,
    changes: BenignChanges,
) -> Knowledge:
    """The same with further classes, such as word lists, learnt from the same benign changes.

    How like planted tilts benign changes are is taken from the classes that were known.

    Args:
        knowledge: of the reference.
        added: classes.
        geometry: of the reference's head.
        templates: of the reference.
        changes: that ``knowledge`` was learnt from.
    """
    if not len(added):
        return knowledge
    groups = leave_out_groups(changes.families, len(changes))
    residual_filter, known = ResidualFilter(geometry, added), knowledge.null.components
    residuals = residual_filter.residual(changes.shifts)
    outside, _ = _outside(residual_filter, residuals, _units(changes), known[RESIDUAL])
    ratios, norms, _ = _inside_ratios(templates, added, changes, residuals, groups, lambda: None)
    inside, _ = score_members(
        ratios,
        residual_filter.frequent,
        groups,
        ColumnSpaceFilter.PRIOR,
        0.0,
        known[COLUMN_SPACE],
    )
    components = {
        RESIDUAL: known[RESIDUAL].joined(outside),
        COLUMN_SPACE: known[COLUMN_SPACE].joined(inside),
    }
    return replace(
        knowledge,
        hypotheses=knowledge.hypotheses.joined(added),
        residual_sizes=np.concatenate([knowledge.residual_sizes, residual_filter.sizes]),
        norms=np.concatenate([knowledge.norms, norms]),
        null=replace(knowledge.null, components=components),
    )


def _units(changes: BenignChanges) -> Array:
    """(B,) numbers of trainings."""
    return unit_groups(changes.units, len(changes))


def _outside(
    residual_filter: ResidualFilter, residuals: Array, groups: Array, base: ComponentNull | None
) -> tuple[ComponentNull, MemberScores]:
    """What benign changes score outside the column space."""
    ratios = residual_filter.strengths_of(residuals) / residual_spread(residuals)[:, None]
    return score_members(
        ratios,
        residual_filter.testable,
        groups,
        ResidualFilter.PRIOR,
        residual_filter.floor,
        base,
    )


def _inside_ratios(
    templates: Templates,
    hypotheses: TokenClasses,
    changes: BenignChanges,
    residuals: Array,
    groups: Array,
    on_part: Callable[[], None],
) -> tuple[Array, Array, MoveCovariance]:
    """What benign changes show inside the column space, by covariances without their own group.

    ``residuals`` are (B, V) what no moved body explains, nats.

    Returns:
        (B, K) ratios; (K,) norms of templates by the covariance of all benign moves; and that.
    """
    moves, group_count = changes.moves, int(groups.max()) + 1
    explained = explained_by_body(changes.shifts, residuals)
    ratios, norms = np.empty((len(moves), len(hypotheses))), np.empty(len(hypotheses))
    covariances = []
    for group in range(group_count):
        others = groups != group
        covariances.append(MoveCovariance.of(moves[others] if others.any() else moves))
    covariance = MoveCovariance.of(moves)
    weighted = [
        c.apply_precision(moves[groups == group])
        * (explained[groups == group] / c.mahalanobis_rms(moves[groups == group]))[:, None]
        for group, c in enumerate(covariances)
    ]
    blocks = list(templates.blocks_of(hypotheses.members))
    for number, classes in enumerate(blocks):
        flat = templates.for_classes(hypotheses.members[classes]).reshape(
            classes.stop - classes.start, -1
        )
        norms[classes] = covariance.mahalanobis_norms(flat)
        for group, (own, rows) in enumerate(zip(covariances, weighted, strict=True)):
            products = flat @ rows.astype(flat.dtype).T / own.mahalanobis_norms(flat)[:, None]
            ratios[groups == group, classes] = products.T
            if number == len(blocks) - 1:
                on_part()
    return ratios, norms, covariance


def _member_likeness(
    residual_filter: ResidualFilter,
    residuals: Array,
    scores: MemberScores,
    changes: BenignChanges,
    groups: Array,
    often: Array,
) -> Array:
    """(B,) how like a planted tilt the class of each benign change is that is most like one."""
    sizes, likeness = residual_spread(residuals), np.zeros(len(residuals))
    for group in range(int(groups.max()) + 1):
        others = groups != group
        noise = token_noise(residuals[others] if others.any() else residuals)
        for member in np.flatnonzero(groups == group):
            strengths = residual_filter.strengths_of(residuals[member][None])[0]
            errors = scores.spreads[member] * sizes[member]
            for index in candidates(np.where(often, scores.scores[member], 0.0)):
                found = class_likeness(
                    residual_filter,
                    index,
                    residuals[member],
                    strengths[index],
                    errors[index],
                    changes.stratum_spreads[member, index],
                    noise,
                )
                likeness[member] = max(likeness[member], found.value)
    return likeness


def candidates(scores: Array) -> list[int]:
    """The classes that are held against planted tilts, the one with the largest score first.

    Args:
        scores: (K,) outside the column space, 0 where a class is not tested.
    """
    order = np.argsort(-scores)[:CANDIDATES]
    return [int(index) for index in order if scores[index] > 0]
