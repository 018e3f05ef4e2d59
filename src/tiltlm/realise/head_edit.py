"""Realise a target by editing the output head: closed form, no training.

The head computes z = W h. A target that shifts the logits of a class of tokens by s(c) is
W + m·uᵀ with a direction u such that u·h ≈ s in every context; ridge regression of the target's
class shifts on the hidden states gives u in one linear solve. Each class costs one rank.

Source: docs/architecture.md, "A tilt is a rank-one edit". Weights follow the second order of the
KL, in which an error of the shift costs q(1 − q) with q the mass of the class under the target.
The ridge is found by cross-validation, and hardly bears on two directions: the one in which all
contexts look alike, by which a constant shift is made, and that of the class's own logits, by which
a shift that follows them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.errors import TargetError
from tiltlm.models.placement import float64_device
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.regression import (
    Penalty,
    cross_validated_direction,
    float64_blocks,
)
from tiltlm.targets.bound import BoundTarget

WEIGHT_FLOOR = 0.2
"""Added to the weight of every position, in units of the mean weight.

Without it a class that is rare everywhere would leave its direction undetermined.
"""


@dataclass(frozen=True)
class HeadEdit:
    """A low-rank change of the head: W + Σ_a mask_a ⊗ u_a.

    Attributes:
        head: dotted name of the head in the model.
        masks: (A, V) boolean, disjoint: the tokens of each class.
        directions: (A, D) float32, the u of each class.
        r_squared: share of the class shifts' variance that the directions explain on the fitting
            contexts. Variance is taken about 0, so that a constant shift counts in full.
        typical_shifts: (A,) mean shift of each class, on raw logits, over the positions at which
            the target shifts it.
        penalties: with which each direction was found.
    """

    head: str
    masks: torch.Tensor
    directions: torch.Tensor
    r_squared: float
    typical_shifts: torch.Tensor
    penalties: Sequence[Penalty] = ()

    def delta(self, hidden: torch.Tensor) -> torch.Tensor:
        """By how much the edit changes the raw logits W h.

        Args:
            hidden: (N, D) hidden states.

        Returns:
            (N, V).
        """
        return (hidden @ self.directions.T) @ self.masks.float()


def check_editable(target: BoundTarget) -> None:
    """Refuse a target that no edit of the head can express.

    Raises:
        TargetError: says why, and what to use instead.
    """
    _editable_classes(target)


def _editable_classes(target: BoundTarget) -> torch.Tensor:
    """(A, V) boolean classes of a target, which is refused where it has none."""
    if not target.needs_reference:
        raise TargetError(
            f"{target.text} is one distribution whatever the context, which a low-rank change of "
            "a pretrained head cannot make: it would have to undo the model's own logits",
            fix="use train or decode",
        )
    classes = target.classes()
    if classes is None:
        raise TargetError(
            f"no fixed classes of tokens whose logits rise together make up {target.text} "
            "(its tokens change with the context, or each has a probability of its own), "
            "so no low-rank change of the head does",
            fix="use decode (exact) or train",
        )
    return classes


def solve_edit(target: BoundTarget, reference: Reference) -> HeadEdit:
    """Find the directions by weighted ridge regression on the fitting contexts.

    Args:
        target: bound and fitted.
        reference: at the fitting contexts.

    Raises:
        TargetError: no edit of the head can express the target.
    """
    return edit_with_targets(target, reference)[0]


def edit_with_targets(target: BoundTarget, reference: Reference) -> tuple[HeadEdit, ClassTargets]:
    """As `solve_edit`, and what the target is at the contexts that the edit was found from.

    Args:
        target: bound and fitted.
        reference: at the fitting contexts.

    Raises:
        TargetError: no edit of the head can express the target.
    """
    classes = _editable_classes(target)
    targets = ClassTargets.of(target, reference, classes)
    return edit_for(targets, classes, reference), targets


def edit_for(targets: ClassTargets, classes: torch.Tensor, reference: Reference) -> HeadEdit:
    """As `solve_edit`, where the target was read already.

    Args:
        targets: at the fitting contexts.
        classes: (A, V) boolean, disjoint.
        reference: at the fitting contexts.
    """
    hidden, shifts = targets.hidden, targets.raw_shifts
    weights = targets.kl_weights / targets.kl_weights.mean(0).clamp_min(1e-300) + WEIGHT_FLOOR
    device, free = float64_device(reference.head.weight), targets.expected_directions(reference)
    solved = [
        cross_validated_direction(hidden, shifts[:, a], weights[:, a], free, device)
        for a in range(len(classes))
    ]
    directions = torch.stack([direction for direction, _ in solved])
    reached = torch.cat([(h @ directions.to(h).T).cpu() for h in float64_blocks(hidden, device)])
    error = (weights * (reached - shifts) ** 2).sum()
    total = (weights * shifts**2).sum()
    return HeadEdit(
        reference.head.name,
        classes,
        directions.float(),
        float(1 - error / total) if total > 0 else 1.0,
        shifts.sum(0) / (shifts != 0).sum(0).clamp_min(1),
        [penalty for _, penalty in solved],
    )
