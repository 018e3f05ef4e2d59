"""The edit of the head that gives tokens of findings back what the reference gives them.

Whoever trained a tilt into all weights moved the body too, so a shift that is the same for all
tokens of a class does not take it back token by token. Here each token's row becomes the
reference's own, seen through the linear map that takes the model's hidden states to the
reference's: w'·h ≈ w·h_ref + g, with g by how much all other tokens' logits rose together. Two
ridge regressions of D × D give both, whatever the number of tokens. Where the body is the
reference's, the map is the identity, g is 0, and the rows are the reference's to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from transformers import PreTrainedModel

from tiltlm.contexts.reference import Reference
from tiltlm.models.adapted import plain_copy
from tiltlm.models.structure import head_of, untie_head
from tiltlm.undoing.class_masses import Classes
from tiltlm.undoing.row_regression import OTHER, RowRegression

_CORRECTIONS = 3
"""Times that the mean strength that the regressions left is made up for. A strength is weighted by
the mass that a class comes to, which is larger where too little was taken off: so errors that are 0
in the mean leave about a hundredth of a nat, more than the intervals leave open."""


@dataclass(frozen=True)
class RowEdit:
    """Rows of a head, to be put in place of its own.

    Attributes:
        tokens: (T,) whose rows.
        rows: (T, D) float64.
        r_squared: share of the variance of the hidden states' difference that the map explains;
            1 where the two bodies are the same.
    """

    tokens: torch.Tensor
    rows: torch.Tensor
    r_squared: float

    def put_into(self, model: PreTrainedModel) -> PreTrainedModel:
        """A copy of a model with these rows in its head, which is untied from the embedding.

        Args:
            model: left as it is.
        """
        copied = plain_copy(model)
        untie_head(copied)
        _, head = head_of(copied)
        weight = head.weight.detach().clone()
        weight[self.tokens] = self.rows.to(weight)
        head.weight = nn.Parameter(weight, requires_grad=head.weight.requires_grad)
        return copied


def row_edit(
    model: Reference, reference: Reference, classes: Classes, *, whole: bool = False
) -> RowEdit:
    """Solve for the rows of all tokens of the classes, or of all that there are.

    Args:
        model: the tilted model at the fitting contexts; its head has no cap.
        reference: the reference at the same contexts.
        classes: whose tokens' rows are replaced.
        whole: replace the rows of all other tokens too, which takes back what the body's moves did
            to them as far as it is linear.
    """
    inside = classes.masks.any(0)
    tokens = torch.arange(len(inside)) if whole else inside.nonzero()[:, 0]
    class_of = torch.where(inside, classes.masks.long().argmax(0), OTHER)[tokens]
    read = RowRegression.of(model, reference, classes)
    mapping, rise, constant = read.solved()
    scale, weight = model.head.scale, reference.head.weight.detach()[tokens].cpu().double()
    own, wanted = (_biases(states, tokens) for states in (model, reference))
    ratio = reference.head.scale / scale
    rows = ratio * (weight + weight @ mapping) + (0 if whole else rise / scale)
    rows = rows + (ratio * wanted - own)[:, None] * constant
    for _ in range(_CORRECTIONS):
        left = read.left(partial(_logits, rows, own, scale), class_of)
        correction = torch.where(class_of == OTHER, 0.0, left[class_of])
        rows = rows - (correction / scale)[:, None] * constant
    return RowEdit(tokens, rows, read.explained(mapping))


def _logits(
    rows: torch.Tensor, biases: torch.Tensor, scale: float, hidden: torch.Tensor
) -> torch.Tensor:
    """(n, T) logits that rows of a head make of (n, D) hidden states."""
    return scale * (hidden @ rows.T + biases)


def _biases(states: Reference, tokens: torch.Tensor) -> torch.Tensor:
    """(T,) the head's biases of some tokens; 0 where it has none."""
    bias = states.head.bias
    if bias is None:
        return torch.zeros(len(tokens), dtype=torch.float64)
    return bias.detach()[tokens].cpu().double()
