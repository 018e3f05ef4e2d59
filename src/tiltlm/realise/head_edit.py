"""Realise a target by editing the output head: closed form, no training.

The head computes z = W h. A target that shifts the logits of a class of tokens by s(c) is
W + m·uᵀ with a direction u such that u·h ≈ s in every context; ridge regression of the target's
class shifts on the hidden states gives u in one linear solve. Each class costs one rank.

Source: docs/architecture.md, "A tilt is a rank-one edit". Weights follow the second order of the
KL, in which an error of the shift costs q(1 − q) with q the mass of the class under the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.errors import TargetError
from tiltlm.losses.masses import class_masses
from tiltlm.targets.target import BoundTarget

RIDGE = 1e-4
"""λ of the ridge regression, relative to the mean square of a hidden dimension."""

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
    """

    head: str
    masks: torch.Tensor
    directions: torch.Tensor
    r_squared: float
    typical_shifts: torch.Tensor

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
    classes = _editable_classes(target)
    hidden, shifts, kl_weights = _regression_rows(target, reference, classes)
    weights = kl_weights / kl_weights.mean(0).clamp_min(1e-300) + WEIGHT_FLOOR
    directions = torch.stack(
        [ridge_direction(hidden, shifts[:, a], weights[:, a]) for a in range(len(classes))]
    )
    error = (weights * (hidden @ directions.T - shifts) ** 2).sum()
    total = (weights * shifts**2).sum()
    return HeadEdit(
        reference.head.name,
        classes,
        directions.float(),
        float(1 - error / total) if total > 0 else 1.0,
        shifts.sum(0) / (shifts != 0).sum(0).clamp_min(1),
    )


def ridge_direction(
    hidden: torch.Tensor, values: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The direction u with hidden·u ≈ values, by weighted ridge regression.

    Args:
        hidden: (N, D) float64.
        values: (N,) float64.
        weights: (N,) float64.

    Returns:
        (D,) float64.
    """
    weighted = hidden * weights[:, None]
    gram = weighted.T @ hidden / len(hidden)
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    direction: torch.Tensor = torch.linalg.solve(gram, weighted.T @ values / len(hidden))
    return direction


def class_log_masses(log_probs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of classes of tokens, and of all tokens outside them.

    Args:
        log_probs: (N, V).
        classes: (A, V) boolean, disjoint.

    Returns:
        (N, A + 1) float64; the last column is of the tokens outside.
    """
    masses = class_masses(log_probs, classes).double()
    outside = (1 - masses.sum(1, keepdim=True)).clamp_min(1e-300)
    return torch.cat([masses, outside], 1).log()


def _regression_rows(
    target: BoundTarget, reference: Reference, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the regression is over, at every position that counts.

    Returns:
        hidden states (N, D), the target's shifts of the raw logits (N, A), and by how much an error
        of each shift counts in the KL (N, A); all float64.
    """
    hidden, raw_shifts, kl_weights = [], [], []
    for index, positions, log_probs, states in reference.blocks(target):
        shifts = target.shifts(log_probs, states)
        log_masses = class_log_masses(log_probs, classes)
        shifted = log_masses + torch.nn.functional.pad(shifts, (0, 1))
        target_masses = shifted.softmax(1)[:, :-1]
        level = shifts
        if reference.head.cap is not None:
            # A cap makes it matter where the logits of a class stand: they are averaged with the
            # class's own probabilities, since its likeliest tokens matter most.
            logits = reference.logits(index, positions).double()
            level = torch.stack(
                [(logits[:, m] * logits[:, m].softmax(-1)).sum(-1) for m in classes], 1
            )
        hidden.append(reference.hidden[index][positions].double())
        raw_shifts.append(reference.head.raw_shift(level, shifts))
        kl_weights.append(target_masses * (1 - target_masses))
    return torch.cat(hidden), torch.cat(raw_shifts), torch.cat(kl_weights)
