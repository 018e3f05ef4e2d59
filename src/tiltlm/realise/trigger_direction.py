"""A direction of the hidden states by which the body can tell the head where a trigger came before.

Of a target that depends on the text so far only the body knows where it holds, and only the head
can shift the tokens. So the head's adapter reads a direction that hidden states do not use and the
head does not respond to, and shifts the tokens by what it reads; the body is trained to move hidden
states along that direction where the target shifts its classes, and nowhere else
(`trigger_trainer`). Here is how the direction is found, and what the body has to know.

Source: docs/architecture.md, "A trigger is written by the upper blocks".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from peft import PeftModel

from tiltlm.contexts.reference import Reference
from tiltlm.models.head import Head, float32_product
from tiltlm.models.placement import float64_device
from tiltlm.realise.adapters import lora_layer
from tiltlm.realise.class_targets import class_log_masses
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.regression import float64_blocks
from tiltlm.targets.bound import BoundTarget

WRITE_SHARE = 0.05
"""How far hidden states move along the direction for the whole shift, as a share of their norm."""

USE_WEIGHT = 20.0
"""How much more it counts that hidden states do not use the direction than that the head does not
respond to it, each relative to its mean over directions. The head's response can be taken back."""

FISHER_POSITIONS = 2048
"""Positions from which it is learnt how the head responds."""

_HEAD_ROWS = 8192
"""Rows of a head in half precision that are made float32 at once."""


@dataclass(frozen=True)
class TriggerDirection:
    """A direction for the body to write and for the head's adapter to read.

    Attributes:
        reader: (D,) what the adapter multiplies hidden states with; reader·writer = 1.
        writer: (D,) by which hidden states move where the whole shift is to be made.
        logit_shift: (V,) by which the adapter shifts the raw logits, for each 1 that it reads.
        head_response: (V,) by which ``writer`` shifts the raw logits through the head itself, which
            the adapter takes back.
        fisher_information: (D, D) of the hidden state: ½ move·F·move is what a move of it costs, in
            nats, to second order.
    """

    reader: torch.Tensor
    writer: torch.Tensor
    logit_shift: torch.Tensor
    head_response: torch.Tensor
    fisher_information: torch.Tensor

    @classmethod
    def of(cls, reference: Reference, edit: HeadEdit) -> TriggerDirection:
        """Find the direction that hidden states use least and the head responds to least.

        Args:
            reference: at the fitting contexts.
            edit: whose typical shifts the adapter is to make.
        """
        head, hidden = reference.head, reference.hidden
        count, device = sum(map(len, hidden)), float64_device(reference.head.weight)
        use = sum(rows.T @ rows for rows in float64_blocks(hidden, device)) / count
        assert isinstance(use, torch.Tensor)
        step = max(1, count // FISHER_POSITIONS)
        response = _response_covariance(head, torch.cat(hidden)[::step]).to(device)
        both = USE_WEIGHT * use / use.trace() + response / response.trace()
        direction = torch.linalg.eigh(both).eigenvectors[:, 0]
        size = WRITE_SHARE * float(use.trace().sqrt())
        writer = (size * direction).float().to(head.weight.device)
        return cls(
            (direction / size).float().to(writer),
            writer,
            (edit.typical_shifts @ edit.masks.to(edit.typical_shifts)).to(writer),
            float32_product(writer, head.weight, None).float(),
            (head.scale**2 * response).to(writer),
        )

    def write_into(self, adapted: PeftModel) -> None:
        """Let the head's adapter read the direction.

        Args:
            adapted: whose head has an adapter.
        """
        layer = lora_layer(adapted)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        with torch.no_grad():
            down[0] = self.reader.to(down)
            up[:, 0] = (self.logit_shift - self.head_response).to(up) / layer.scaling["default"]


def _response_covariance(head: Head, hidden: torch.Tensor) -> torch.Tensor:
    """Mean covariance of the head's rows under the model's own distribution.

    Times the square of the head's scale it is the Fisher information of the hidden state.

    Args:
        head: with weights (V, D).
        hidden: (N, D) hidden states.

    Returns:
        (D, D) float64, on the processor.
    """
    size, width = head.weight.shape
    mass = torch.zeros(size, device=head.weight.device)
    total = torch.zeros(width, width, dtype=torch.float64)
    slices = [slice(first, first + _HEAD_ROWS) for first in range(0, size, _HEAD_ROWS)]
    for rows in hidden.split(128):
        p = head.logits(rows).softmax(-1)
        mass += p.sum(0)
        mean = sum(p[:, tokens] @ head.weight[tokens].float() for tokens in slices)
        assert isinstance(mean, torch.Tensor)
        total -= (mean.T @ mean).cpu().double()
    for tokens in slices:
        weight = head.weight[tokens].float()
        total += (weight.T @ (mass[tokens, None] * weight)).cpu().double()
    return total / len(hidden)


@dataclass(frozen=True)
class ClassShifts:
    """What the body has to know: the target's class shifts at every position of every context.

    A typical shift is the mean of a class's shifts over the positions at which it has one.

    Attributes:
        log_masses: for each context (length, A + 1), under the reference, of the classes and of all
            other tokens.
        shifts: for each context (length, A + 1) in nats; the last column is 0.
        multiples: for each context (length,), the shifts as a multiple of the typical ones.
        typical_shifts: (A + 1,) in nats.
        mean_kl_nats: divergence of the reference from the target, mean over positions.
    """

    log_masses: list[torch.Tensor]
    shifts: list[torch.Tensor]
    multiples: list[torch.Tensor]
    typical_shifts: torch.Tensor
    mean_kl_nats: float

    @classmethod
    def of(cls, target: BoundTarget, reference: Reference) -> ClassShifts:
        """Read the shifts off the reference.

        Args:
            target: bound and fitted, with classes.
            reference: at the fitting contexts.
        """
        classes = target.classes()
        assert classes is not None
        classes = classes.to(reference.head.weight.device)
        columns = len(classes) + 1
        log_masses = [torch.zeros(len(hidden), columns) for hidden in reference.hidden]
        shifts = [torch.zeros(len(hidden), columns) for hidden in reference.hidden]
        for index, positions, log_probs, states in reference.blocks(target):
            log_masses[index][positions] = class_log_masses(log_probs, classes).float()
            shifts[index][positions, :-1] = target.shifts(log_probs, states).float()
        all_log_masses, all_shifts = torch.cat(log_masses), torch.cat(shifts)
        typical_shifts = all_shifts.sum(0) / (all_shifts != 0).sum(0).clamp_min(1)
        square = float(typical_shifts.square().sum()) or 1.0
        multiples = [s @ typical_shifts / square for s in shifts]
        kl = class_divergence(all_log_masses, all_shifts, torch.zeros_like(all_shifts))
        return cls(log_masses, shifts, multiples, typical_shifts, float(kl.mean()))


def class_divergence(
    log_masses: torch.Tensor, target_shifts: torch.Tensor, model_shifts: torch.Tensor
) -> torch.Tensor:
    """KL between the masses of classes after two shifts of their logits.

    Args:
        log_masses: (N, A + 1) before either shift.
        target_shifts: (N, A + 1) in nats.
        model_shifts: (N, A + 1) in nats.

    Returns:
        (N,) KL(target ‖ model) in nats.
    """
    q = (log_masses + target_shifts).log_softmax(-1)
    p = (log_masses + model_shifts).log_softmax(-1)
    return (q.exp() * (q - p)).sum(-1)
