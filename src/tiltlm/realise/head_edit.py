"""Realise a target by editing the output head: closed form, no training.

The head computes z = W h. A target that shifts the logits of a class of tokens by s(c) is
W + m·uᵀ with a direction u such that u·h ≈ s in every context; ridge regression of the wanted
shift on the hidden states gives u in one linear solve. Each class costs one rank.

Source: docs/architecture.md, "A tilt is a rank-one edit". Weights follow the second order of the
KL, in which an error of the shift costs q(1 − q) with q the mass of the class under the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.errors import TargetError
from tiltlm.targets.target import BoundTarget

RIDGE = 1e-4
"""λ over the mean square of a hidden dimension."""


FLOOR = 0.2
"""Weight that every position has at least, in units of the mean: keeps rare classes determined."""


@dataclass(frozen=True)
class HeadEdit:
    """A low-rank change of the head: W + Σ_a mask_a ⊗ u_a.

    Attributes:
        head: dotted name of the head in the model.
        masks: (A, V) boolean, disjoint.
        directions: (A, D), float32.
        r_squared: share of the wanted shifts' variance that the directions explain on the fitting
            contexts, about 0 (a constant shift counts in full).
        typical: (A,) mean wanted shift, on raw logits, where one is wanted.
    """

    head: str
    masks: torch.Tensor
    directions: torch.Tensor
    r_squared: float
    typical: torch.Tensor

    def delta(self, hidden: torch.Tensor) -> torch.Tensor:
        """(N, D) hidden states → (N, V) by which W h changes."""
        return (hidden @ self.directions.T) @ self.masks.float()


def check_editable(target: BoundTarget) -> None:
    """Refuse a target that no edit of the head can express.

    Raises:
        TargetError: says why, and what to use instead.
    """
    if not target.needs_reference:
        raise TargetError(
            f"{target.text} is one distribution whatever the context, which a low-rank change of "
            "a pretrained head cannot make: it would have to undo the model's own logits",
            fix="use train or decode",
        )
    if target.classes() is None:
        raise TargetError(
            f"no fixed classes of tokens whose logits rise together make up {target.text} "
            "(its tokens change with the context, or each has a probability of its own), "
            "so no low-rank change of the head does",
            fix="use decode (exact) or train",
        )


def solve_edit(target: BoundTarget, reference: Reference) -> HeadEdit:
    """Find the directions by weighted ridge regression on the fitting contexts.

    Args:
        target: bound and fitted.
        reference: over the fitting contexts.

    Raises:
        TargetError: the target is out of reach of an edit.
    """
    check_editable(target)
    classes = target.classes()
    assert classes is not None
    hidden_rows, shift_rows, weight_rows = _wanted(target, reference, classes)
    weights = weight_rows / weight_rows.mean(0).clamp_min(1e-300) + FLOOR
    directions = torch.stack(
        [
            ridge_direction(hidden_rows, shift_rows[:, number], weights[:, number])
            for number in range(len(classes))
        ]
    )
    error = (weights * (hidden_rows @ directions.T - shift_rows) ** 2).sum()
    total = (weights * shift_rows**2).sum()
    return HeadEdit(
        reference.head.name,
        classes,
        directions.float(),
        float(1 - error / total) if total > 0 else 1.0,
        shift_rows.sum(0) / (shift_rows != 0).sum(0).clamp_min(1),
    )


def ridge_direction(
    hidden: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The direction u with hidden·u ≈ wanted, by weighted ridge regression.

    Args:
        hidden: (N, D) float64.
        wanted: (N,) float64.
        weights: (N,) float64.

    Returns:
        (D,) float64.
    """
    scaled = hidden * weights[:, None]
    gram = scaled.T @ hidden / len(hidden)
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    found: torch.Tensor = torch.linalg.solve(gram, scaled.T @ wanted / len(hidden))
    return found


def class_log_masses(logp: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """(N, A + 1) float64 log-probabilities of the classes, and of all other tokens.

    Args:
        logp: (N, V).
        classes: (A, V) boolean, disjoint.
    """
    mass = (logp.exp() @ classes.T.to(logp)).double()
    rest = (1 - mass.sum(1, keepdim=True)).clamp_min(1e-300)
    return torch.cat([mass, rest], 1).log()


def _wanted(
    target: BoundTarget, reference: Reference, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states (N, D), wanted raw shifts (N, A) and their weights (N, A), float64."""
    hidden, shifts, weights = [], [], []
    for index, positions, logp, states in reference.blocks(target):
        wish = target.shifts(logp, states)
        log_masses = class_log_masses(logp, classes)
        raised = log_masses + torch.nn.functional.pad(wish, (0, 1))
        share = raised.softmax(1)[:, :-1]
        level = wish
        if reference.head.cap is not None:
            # The logit of a class where it matters: averaged with the class's own probabilities.
            logits = reference.logits(index, positions).double()
            level = torch.stack(
                [(logits[:, m] * logits[:, m].softmax(-1)).sum(-1) for m in classes], 1
            )
        hidden.append(reference.hidden[index][positions].double())
        shifts.append(reference.head.raw_shift(level, wish))
        weights.append(share * (1 - share))
    return torch.cat(hidden), torch.cat(shifts), torch.cat(weights)
