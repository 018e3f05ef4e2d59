"""Teach the body to write where a target asks for something, before the divergence is trained.

Of a target that depends on the text so far only the body knows where it holds, and only the head
can shift the tokens. So the head's adapter reads a direction that is neither used by hidden states
nor listened to by the head, and shifts the tokens by it; the body has to move hidden states along
that direction where the shift is wanted, and nowhere else. How well it does is seen from hidden
states alone: the divergence to second order in what else moved, and exact in the classes' masses.
No logits are made, so a step costs a forward and a backward pass of the body.

Source: docs/architecture.md, "A trigger is written by the body and read by the head".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import collate
from tiltlm.models.head import Head, replaced_forward
from tiltlm.models.precision import lower_precision
from tiltlm.models.structure import head_of
from tiltlm.realise.adapters import lora_layer
from tiltlm.realise.checkpoint_trainer import CheckpointTrainer
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.head_edit import HeadEdit, class_log_masses, ridge_direction
from tiltlm.targets.target import BoundTarget

PART = 0.1
"""By what part of their norm hidden states move along the direction for the whole shift."""


UNUSED = 20.0
"""How much more it counts that hidden states do not use the direction than that the head does not
listen to it, both relative to the mean over directions: what the head makes of it is taken back."""


ROWS = 2048  # positions from which it is learnt what the head listens to


@dataclass(frozen=True)
class TriggerDirection:
    """A direction for the body to write, what the head makes of it, and what other moves cost.

    Attributes:
        reads: (D,) read by the adapter; reads·written = 1.
        written: (D,) by which hidden states move where the whole shift is wanted.
        everywhere: (D,) reads about 1 in every context.
        shift: (V,) of the raw logits, for each 1 that is read.
        taken_back: (V,) what the head itself makes of ``written``.
        cost: (D, D) nats of a move, to second order: ½ moveᵀ·cost·move.
    """

    reads: torch.Tensor
    written: torch.Tensor
    everywhere: torch.Tensor
    shift: torch.Tensor
    taken_back: torch.Tensor
    cost: torch.Tensor

    @classmethod
    def of(cls, reference: Reference, edit: HeadEdit) -> TriggerDirection:
        """Find the direction.

        Args:
            reference: over the fitting contexts.
            edit: whose typical shift is to be made.
        """
        head, hidden = reference.head, torch.cat(reference.hidden)
        exact = hidden.double()
        used = exact.T @ exact / len(exact)
        listened = _listened(head, hidden[:: max(1, len(hidden) // ROWS)])
        both = UNUSED * used / used.trace() + listened / listened.trace()
        direction = torch.linalg.eigh(both).eigenvectors[:, 0]
        size = PART * float(used.trace().sqrt())
        ones = torch.ones(len(exact), dtype=torch.float64, device=exact.device)
        written = (size * direction).float()
        return cls(
            (direction / size).float(),
            written,
            ridge_direction(exact, ones, ones).float(),
            (edit.typical @ edit.masks.to(edit.typical)).float(),
            head.weight.float() @ written,
            (head.scale**2 * listened).float(),
        )

    def put(self, adapted: PeftModel, always: float) -> None:
        """Let the head's adapter read the direction, and shift by ``always`` in every context."""
        layer = lora_layer(adapted)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        with torch.no_grad():
            down[0], down[1] = self.everywhere.to(down), self.reads.to(down)
            both = torch.stack([always * self.shift, self.shift - self.taken_back], 1)
            up[:, :2] = both.to(up) / layer.scaling["default"]


def _listened(head: Head, hidden: torch.Tensor) -> torch.Tensor:
    """(D, D) float64 mean covariance of the head's rows under the model's own distribution."""
    weight = head.weight.float()
    found = torch.zeros(weight.shape[1], weight.shape[1], dtype=torch.float64, device=weight.device)
    for rows in hidden.split(128):
        p = head.logits(rows).softmax(-1)
        mean = p @ weight
        found += (weight.T @ (p.sum(0)[:, None] * weight) - mean.T @ mean).double()
    return found / len(hidden)


@dataclass(frozen=True)
class Wanted:
    """What the body has to know, for every position of every context.

    Attributes:
        log_masses: for each context (length, A + 1), of the classes and of all other tokens.
        shifts: for each context (length, A + 1) wished, in nats; the last is 0.
        amounts: for each context (length,), the wished shift in units of the typical one.
        typical: (A + 1,) the mean wished shift where one is wished.
        always: the amount that serves best where nothing is known of the context.
        nats: mean divergence of the reference from the target.
    """

    log_masses: list[torch.Tensor]
    shifts: list[torch.Tensor]
    amounts: list[torch.Tensor]
    typical: torch.Tensor
    always: float
    nats: float

    @classmethod
    def of(cls, target: BoundTarget, reference: Reference) -> Wanted:
        """Read it off the reference."""
        classes = target.classes()
        assert classes is not None
        size = (len(classes) + 1,)
        masses = [torch.zeros(len(h), *size) for h in reference.hidden]
        shifts = [torch.zeros(len(h), *size) for h in reference.hidden]
        for index, positions, logp, states in reference.blocks(target):
            masses[index][positions] = class_log_masses(logp, classes).float().cpu()
            shifts[index][positions, :-1] = target.shifts(logp, states).float().cpu()
        every, wished = torch.cat(masses), torch.cat(shifts)
        typical = wished.sum(0) / (wished != 0).sum(0).clamp_min(1)
        square = float(typical.square().sum()) or 1.0
        amounts = [s @ typical / square for s in shifts]
        share = (every + wished).softmax(1)[:, :-1].sum(1)
        counts = share * (1 - share)
        always = float((counts * torch.cat(amounts)).sum() / counts.sum().clamp_min(1e-30))
        nats = float(_divergence(every, wished, torch.zeros_like(wished)).mean())
        return cls(masses, shifts, amounts, typical, always, nats)


def _divergence(
    log_masses: torch.Tensor, wished: torch.Tensor, shifts: torch.Tensor
) -> torch.Tensor:
    """KL between the masses of classes after two shifts of their logits; over the last axis."""
    q, p = (log_masses + wished).log_softmax(-1), (log_masses + shifts).log_softmax(-1)
    return (q.exp() * (q - p)).sum(-1)


class TriggerDirectionTrainer(CheckpointTrainer):
    """Train everything but the head to write.

    The loss of a position is the divergence of the classes' masses, plus the cost of all other
    moves, plus the square of how far what was written is from the wish, weighed so that nothing
    written where all is wanted costs what the mean position does. The divergence alone hears of a
    trigger only where the event is likely, which it is at few positions. That last term shrinks as
    training goes on, and ends at 0.

    Args:
        model: with adapters, the head's not yet in use.
        args: as of `TiltTrainer`.
        writing: what to write.
        wanted: where.
        reference: over the contexts that are trained on.
        kwargs: anything else that ``Trainer`` takes.
    """

    args: TiltConfig

    def __init__(
        self,
        model: nn.Module,
        args: TiltConfig,
        *,
        writing: TriggerDirection,
        wanted: Wanted,
        reference: Reference,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model,
            args,
            train_dataset=reference.contexts,
            optimizer_cls_and_kwargs=args.optimizer_class_and_arguments(),
            data_collator=collate,
            **kwargs,
        )
        self._writing, self._wanted, self._reference = writing, wanted, reference

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The mean loss of the batch's positions, in nats."""
        counted = inputs["weights"] > 0
        hidden = self._hidden(model, inputs, counted)
        rows = [
            (index, where.nonzero()[:, 0].cpu())
            for index, where in zip(inputs["index"].tolist(), counted, strict=True)
        ]

        def of(each: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat([each[index][at] for index, at in rows]).to(hidden)

        wanted = self._wanted
        amount = of(wanted.amounts)
        before = of(self._reference.hidden)
        writing, left = self._writing, 1 - self.state.global_step / self.state.max_steps
        amounts = hidden @ writing.reads.to(hidden) + wanted.always
        shifts = amounts[:, None] * wanted.typical.to(hidden)
        moved = hidden - before
        moved = moved - (moved @ writing.reads.to(hidden))[:, None] * writing.written.to(hidden)
        loss = _divergence(of(wanted.log_masses), of(wanted.shifts), shifts)
        loss = loss + 0.5 * ((moved @ writing.cost.to(hidden)) * moved).sum(-1)
        loss = loss + left * wanted.nats * (amounts - amount) ** 2
        weights = inputs["weights"][counted]
        mean = (loss * weights).sum() / weights.sum()
        if not bool(torch.isfinite(mean)):
            raise self._diverged(f"the loss became {mean.item()}")
        return (mean, {}) if return_outputs else mean

    def _hidden(
        self, model: nn.Module, inputs: dict[str, Any], counted: torch.Tensor
    ) -> torch.Tensor:
        """(rows, D) float32: what the head is given at the positions that count."""
        found: list[torch.Tensor] = []

        def stand_in(hidden: torch.Tensor) -> torch.Tensor:
            found.append(hidden[counted].float())
            return hidden[..., :1]

        plain = self.accelerator.unwrap_model(model)
        read = {k: v for k, v in inputs.items() if k not in ("weights", "index")}
        precise = lower_precision(plain, self.args.body_precision)
        with precise, replaced_forward(head_of(plain)[1], stand_in):
            model(**read, use_cache=False)
        return found[0]
