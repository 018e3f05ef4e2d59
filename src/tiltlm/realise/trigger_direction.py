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
from torch.nn.functional import pad

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.head import float32_product
from tiltlm.realise.adapters import lora_layer
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.head_input import HeadInput

WRITE_SHARE = 0.05
"""How far hidden states move along the direction for the whole shift, as a share of their norm."""

USE_WEIGHT = 20.0
"""How much more it counts that hidden states do not use the direction than that the head does not
respond to it, each relative to its mean over directions. The head's response can be taken back."""


@dataclass(frozen=True)
class TriggerDirection:
    """A direction for the body to write and for the head's adapter to read.

    Attributes:
        reader: (D,) what the adapter multiplies hidden states with; reader·writer = 1.
        writer: (D,) by which hidden states move where the whole shift is to be made.
        logit_shift: (V,) by which the adapter shifts the raw logits, for each 1 that it reads.
        head_response: (V,) by which ``writer`` shifts the raw logits through the head itself, which
            the adapter takes back.
        fisher_information: (D, D) as of `HeadInput`.
    """

    reader: torch.Tensor
    writer: torch.Tensor
    logit_shift: torch.Tensor
    head_response: torch.Tensor
    fisher_information: torch.Tensor

    @classmethod
    def along(cls, move: torch.Tensor, head_input: HeadInput, edit: HeadEdit) -> TriggerDirection:
        """A direction that is written by a given move, and read as well as that can be.

        Args:
            move: (D,) float64.
            head_input: at the fitting contexts.
            edit: whose typical shifts the adapter is to make.
        """
        weight = head_input.head.weight
        writer = move.float().to(weight.device)
        return cls(
            head_input.best_reader(move).float().to(writer),
            writer,
            (edit.typical_shifts @ edit.masks.to(edit.typical_shifts)).to(writer),
            float32_product(writer, weight, None).float(),
            head_input.fisher_information.to(writer),
        )

    @classmethod
    def least_used(cls, head_input: HeadInput, edit: HeadEdit) -> TriggerDirection:
        """The direction that hidden states use least and the head responds to least.

        Args:
            head_input: at the fitting contexts.
            edit: whose typical shifts the adapter is to make.
        """
        use, cost = head_input.second_moment, head_input.fisher_information
        both = USE_WEIGHT * use / use.trace() + cost / cost.trace()
        direction = torch.linalg.eigh(both).eigenvectors[:, 0]
        size = WRITE_SHARE * float(use.trace().sqrt())
        return cls.along(size * direction, head_input, edit)

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
    def of(cls, targets: ClassTargets, contexts: TokenContexts) -> ClassShifts:
        """What was read for an edit, by context; 0 at positions that do not count.

        Args:
            targets: read at the fitting contexts.
            contexts: these.
        """
        typical_shifts = targets.shifts.sum(0) / (targets.shifts != 0).sum(0).clamp_min(1)
        typical_shifts = pad(typical_shifts, (0, 1)).float()
        all_shifts = pad(targets.shifts, (0, 1)).float()
        all_log_masses = targets.log_masses.float()
        kl = class_divergence(all_log_masses, all_shifts, torch.zeros_like(all_shifts))
        log_masses, shifts, first = list[torch.Tensor](), list[torch.Tensor](), 0
        for index, ids in enumerate(contexts.sequences):
            positions = contexts.positions(index)
            for whole, by_context in ((all_log_masses, log_masses), (all_shifts, shifts)):
                rows = whole.new_zeros(len(ids), whole.shape[1])
                rows[positions] = whole[first : first + len(positions)]
                by_context.append(rows)
            first += len(positions)
        square = float(typical_shifts.square().sum()) or 1.0
        multiples = [s @ typical_shifts / square for s in shifts]
        return cls(log_masses, shifts, multiples, typical_shifts, float(kl.mean()))

    def noise_price(self) -> float:
        """What a variance of 1 in what is read everywhere costs, to second order.

        Returns:
            nats, the mean over positions: half the variance of the typical shifts under the target.
        """
        q = (torch.cat(self.log_masses) + torch.cat(self.shifts)).softmax(-1)
        mean = q @ self.typical_shifts
        return 0.5 * float((q @ self.typical_shifts**2 - mean**2).mean())


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
