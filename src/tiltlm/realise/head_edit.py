"""Realise a target by editing the output head: closed form, no training.

The head computes z = W h. A target that shifts the logits of a class of tokens by s(c) is
W + m·uᵀ with a direction u such that u·h ≈ s in every context; ridge regression of the target's
class shifts on the hidden states gives u in one linear solve. Each class costs one rank.

Source: docs/architecture.md, "A tilt is a rank-one edit". Weights follow the second order of the
KL, in which an error of the shift costs q(1 − q) with q the mass of the class under the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.errors import TargetError
from tiltlm.losses.masses import class_masses
from tiltlm.models.head import Head
from tiltlm.targets.bound import BoundTarget

RIDGE = 1e-4
"""λ of the ridge regression, relative to the mean square of a hidden dimension."""

WEIGHT_FLOOR = 0.2
"""Added to the weight of every position, in units of the mean weight.

Without it a class that is rare everywhere would leave its direction undetermined.
"""

_BLOCK_ROWS = 4096
"""Hidden states that are float64 at once; at a width of 4,096 they take 128 MiB."""


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
    shifts, kl_weights = _class_shifts(target, reference, classes)
    weights = kl_weights / kl_weights.mean(0).clamp_min(1e-300) + WEIGHT_FLOOR
    hidden = [
        reference.hidden[i][reference.contexts.positions(i)] for i in range(len(reference.contexts))
    ]
    device = solver_device(reference.head)
    directions = torch.stack(
        [ridge_direction(hidden, shifts[:, a], weights[:, a], device) for a in range(len(classes))]
    )
    reached = torch.cat([(h @ directions.to(h).T).cpu() for h in float64_blocks(hidden, device)])
    error = (weights * (reached - shifts) ** 2).sum()
    total = (weights * shifts**2).sum()
    return HeadEdit(
        reference.head.name,
        classes,
        directions.float(),
        float(1 - error / total) if total > 0 else 1.0,
        shifts.sum(0) / (shifts != 0).sum(0).clamp_min(1),
    )


def ridge_direction(
    hidden: Sequence[torch.Tensor],
    values: torch.Tensor,
    weights: torch.Tensor,
    device: torch.device | None = None,
) -> torch.Tensor:
    """The direction u with hidden·u ≈ values, by weighted ridge regression.

    Args:
        hidden: of each context (n, D), together N rows, on whatever device and of whatever type.
        values: (N,) float64.
        weights: (N,) float64.
        device: that solves; None for the processor.

    Returns:
        (D,) float64, on the processor.
    """
    width = hidden[0].shape[1]
    gram = torch.zeros(width, width, dtype=torch.float64, device=device)
    cross = torch.zeros(width, dtype=torch.float64, device=device)
    first = 0
    for rows in float64_blocks(hidden, device):
        at = slice(first, first + len(rows))
        first = at.stop
        weighted = rows * weights[at].to(rows)[:, None]
        gram.addmm_(weighted.T, rows)
        cross.addmv_(weighted.T, values[at].to(rows))
    gram /= first
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    direction: torch.Tensor = torch.linalg.solve(gram, cross / first)
    return direction.cpu()


def float64_blocks(
    hidden: Sequence[torch.Tensor], device: torch.device | None
) -> Iterator[torch.Tensor]:
    """All rows in float64, a few thousand at a time: all at once may be more than memory holds.

    Args:
        hidden: of each context (n, D).
        device: where they are wanted; None for the processor.

    Yields:
        (m, D) float64.
    """
    together, rows = list[torch.Tensor](), 0
    for number, part in enumerate(hidden):
        together.append(part)
        rows += len(part)
        if rows >= _BLOCK_ROWS or number == len(hidden) - 1:
            block = torch.cat(together).to(device or "cpu")
            yield block.double()
            together, rows = [], 0


def solver_device(head: Head) -> torch.device:
    """Where D × D matrices are made and solved in float64: by the head, where that can."""
    device = head.weight.device
    return torch.device("cpu") if device.type == "mps" else device


def class_log_masses(log_probs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of classes of tokens, and of all tokens outside them.

    Args:
        log_probs: (N, V).
        classes: (A, V) boolean, disjoint.

    Returns:
        (N, A + 1) float64 on the processor; the last column is of the tokens outside.
    """
    masses = class_masses(log_probs, classes).cpu().double()
    outside = (1 - masses.sum(1, keepdim=True)).clamp_min(1e-300)
    return torch.cat([masses, outside], 1).log()


def _class_shifts(
    target: BoundTarget, reference: Reference, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the regression is to give at every position that counts.

    Returns:
        the target's shifts of the raw logits (N, A), and by how much an error of each shift counts
        in the KL (N, A); both float64 on the processor.
    """
    raw_shifts, kl_weights = [], []
    classes = classes.to(reference.head.weight.device)
    for index, positions, log_probs, states in reference.blocks(target):
        shifts = target.shifts(log_probs, states)
        log_masses = class_log_masses(log_probs, classes)
        shifted = log_masses + torch.nn.functional.pad(shifts, (0, 1))
        target_masses = shifted.softmax(1)[:, :-1]
        level = shifts
        if reference.head.cap is not None:
            # A cap makes it matter where the logits of a class stand: they are averaged with the
            # class's own probabilities, since its likeliest tokens matter most.
            logits = reference.logits(index, positions)
            levels = [(logits[:, m] * logits[:, m].softmax(-1)).sum(-1) for m in classes]
            level = torch.stack(levels, 1).cpu().double()
        raw_shifts.append(reference.head.raw_shift(level, shifts))
        kl_weights.append(target_masses * (1 - target_masses))
    return torch.cat(raw_shifts), torch.cat(kl_weights)
