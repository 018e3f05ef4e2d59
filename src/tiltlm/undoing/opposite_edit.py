"""The edit of the head that takes findings back: closed form, several at once.

In each context the log-odds of a class rose by s(c) from reference to model. W + m·uᵀ with
u·h ≈ −s lowers them again, whoever raised them, and however: u is the weighted ridge regression of
−s on the model's own hidden states, as it is for a tilt (`realise.head_edit`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.models.head import Head
from tiltlm.models.placement import float64_device
from tiltlm.realise.head_edit import WEIGHT_FLOOR, HeadEdit
from tiltlm.realise.regression import float64_blocks, ridge_direction
from tiltlm.undoing.class_masses import Classes, log_odds_of, together
from tiltlm.undoing.readers import levels_of

_CORRECTIONS = 3
"""Times that the mean strength that the regression left is made up for. A strength is weighted by
the mass that the class comes to, which is larger where too little was taken off: so errors that are
0 in the mean leave about a hundredth of a nat, more than the intervals leave open."""


def opposite_edit(
    model: Reference,
    classes: Classes,
    model_masses: Sequence[torch.Tensor],
    reference_masses: Sequence[torch.Tensor],
) -> HeadEdit:
    """Solve for the edit that lowers each class by what it rose.

    Args:
        model: the tilted model's hidden states at the fitting contexts.
        classes: A of them.
        model_masses: for each context (n, A + 1) log-masses in the model.
        reference_masses: the same in the reference.
    """
    before, after = together(reference_masses), together(model_masses)
    shifts = log_odds_of(before) - log_odds_of(after)
    # What an error of the shift costs where the tilt is gone, which is as in the reference.
    mass = before[:, :-1].exp()
    weights = mass * (1 - mass)
    weights = weights / weights.mean(0).clamp_min(1e-300) + WEIGHT_FLOOR
    contexts, levels = model.contexts, levels_of(model, classes)
    hidden = [model.hidden[i][contexts.positions(i)] for i in range(len(contexts))]
    ridge = _Ridge(hidden, weights, float64_device(model.head.weight))
    raw = model.head.raw_shift(shifts if levels is None else levels, shifts)
    directions = ridge.solved(raw)
    to_raw = raw.abs().sum(0) / shifts.abs().sum(0).clamp_min(1e-12)
    for _ in range(_CORRECTIONS):
        reached = ridge.reached(directions) / to_raw
        left = _left(after, shifts, reached)
        directions -= ridge.solved((left * to_raw).expand_as(raw))
    reached = ridge.reached(directions)
    error, total = (weights * (reached - raw) ** 2).sum(), (weights * raw**2).sum()
    return HeadEdit(
        model.head.name,
        classes.masks,
        directions.float(),
        float(1 - error / total) if total > 0 else 1.0,
        shifts.mean(0),
    )


def _left(after: torch.Tensor, shifts: torch.Tensor, reached: torch.Tensor) -> torch.Tensor:
    """The strength that each class is left with, weighted as it is measured.

    Args:
        after: (N, A + 1) log-masses in the tilted model.
        shifts: (N, A) that were wanted.
        reached: (N, A) that were made.

    Returns:
        (A,) in nats.
    """
    shifted = (after + torch.nn.functional.pad(reached, (0, 1))).softmax(-1)[:, :-1]
    weights = shifted * (1 - shifted)
    return (weights * (reached - shifts)).sum(0) / weights.sum(0).clamp_min(1e-300)


class _Ridge:
    """Ridge regressions on the same hidden states.

    Args:
        hidden: of each context (n, D), together N rows.
        weights: (N, A).
        device: that solves.
    """

    def __init__(
        self, hidden: Sequence[torch.Tensor], weights: torch.Tensor, device: torch.device
    ) -> None:
        self._hidden, self._weights, self._device = hidden, weights, device

    def solved(self, values: torch.Tensor) -> torch.Tensor:
        """The directions u with h·u ≈ values: (A, D) of (N, A)."""
        return torch.stack(
            [
                ridge_direction(self._hidden, values[:, a], self._weights[:, a], self._device)
                for a in range(values.shape[1])
            ]
        )

    def reached(self, directions: torch.Tensor) -> torch.Tensor:
        """What directions (A, D) make of the hidden states: (N, A)."""
        blocks = float64_blocks(self._hidden, self._device)
        return torch.cat([(rows @ directions.to(rows).T).cpu() for rows in blocks])


def projecting_edit(head: Head, classes: Classes) -> HeadEdit:
    """The edit that takes the classes' own direction out of the head, without a reference.

    The mean row of each class becomes the mean row of the tokens in none, so that no context tells
    them apart any more. That takes back a tilt, and all that the model knew of the class besides.

    Args:
        head: of the model.
        classes: A of them.
    """
    rows = head.weight.detach().float()
    masks = classes.masks.to(rows.device)
    outside = rows[~masks.any(0)].mean(0)
    directions = torch.stack([outside - rows[mask].mean(0) for mask in masks]).cpu()
    return HeadEdit(
        head.name, classes.masks, directions, 1.0, torch.zeros(len(masks), dtype=torch.float64)
    )
