"""Teach the body to write the trigger direction, before the divergence itself is trained.

How well the body writes is seen from hidden states alone: the divergence is exact in the masses of
the classes, and taken to second order in whatever else moved. No logits are made, so a step costs a
forward and a backward pass of the body.

Source: docs/architecture.md, "A trigger is written by the upper blocks".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import collate
from tiltlm.models.head import replaced_forward
from tiltlm.models.precision import lower_precision
from tiltlm.models.structure import head_of
from tiltlm.realise.checkpoint_trainer import CheckpointTrainer
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.lower_blocks import LowerBlocks
from tiltlm.realise.trigger_direction import ClassShifts, TriggerDirection, class_divergence


class TriggerDirectionTrainer(CheckpointTrainer):
    """Train everything but the head to write a trigger direction where the target shifts classes.

    The loss of a position is the sum of three terms: the divergence of the classes' masses; the
    cost of moves in all other directions; and the square of how far what was written is from the
    target's multiple of the whole shift. The third is weighted so that writing nothing where the
    whole shift is wanted costs what the mean position does. It is there because the divergence
    alone has a gradient only where the event is likely, which it is at few positions. It shrinks as
    training goes on, and ends at 0.

    Args:
        model: with adapters, the head's not yet in use.
        args: as of `TiltTrainer`.
        direction: what to write.
        class_shifts: where to write it.
        reference: at the contexts that are trained on.
        kwargs: anything else that ``Trainer`` takes.
    """

    args: TiltConfig

    def __init__(
        self,
        model: nn.Module,
        args: TiltConfig,
        *,
        direction: TriggerDirection,
        class_shifts: ClassShifts,
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
        self._direction, self._class_shifts = direction, class_shifts
        self._reference = reference
        self._lower_blocks = LowerBlocks.of(model, reference)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The loss of a batch.

        Args:
            model: perhaps wrapped.
            inputs: a batch of the reference's contexts, as `collate` makes it.
            return_outputs: return a pair, of loss and no outputs.
            num_items_in_batch: not used.

        Returns:
            the weighted mean over the batch's positions, in nats.

        Raises:
            DivergedError: the loss is not finite.
        """
        counted = inputs["weights"] > 0
        hidden = self._hidden(model, inputs, counted)
        rows = [
            (index, where.nonzero()[:, 0].cpu())
            for index, where in zip(inputs["index"].tolist(), counted, strict=True)
        ]

        def at_rows(per_context: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat([per_context[index][at] for index, at in rows]).to(hidden)

        loss = self._loss_of(hidden, at_rows(self._reference.hidden), at_rows)
        weights = inputs["weights"][counted]
        mean = (loss * weights).sum() / weights.sum()
        if not bool(torch.isfinite(mean)):
            raise self._diverged(f"the loss became {mean.item()}")
        return (mean, {}) if return_outputs else mean

    def _loss_of(
        self,
        hidden: torch.Tensor,
        before: torch.Tensor,
        at_rows: Callable[[list[torch.Tensor]], torch.Tensor],
    ) -> torch.Tensor:
        """The loss of N positions.

        Args:
            hidden: (N, D) what the head is given.
            before: (N, D) what it was given in the reference.
            at_rows: takes what `ClassShifts` has for each context to the N positions.

        Returns:
            (N,) in nats.
        """
        direction, class_shifts = self._direction, self._class_shifts
        reader = direction.reader.to(hidden)
        multiples = hidden @ reader
        shifts = multiples[:, None] * class_shifts.typical_shifts.to(hidden)
        moves = hidden - before
        other_moves = moves - multiples[:, None] * direction.writer.to(hidden)
        fisher_information = direction.fisher_information.to(hidden)
        left = 1 - self.state.global_step / self.state.max_steps
        loss = class_divergence(
            at_rows(class_shifts.log_masses), at_rows(class_shifts.shifts), shifts
        )
        loss = loss + 0.5 * ((other_moves @ fisher_information) * other_moves).sum(-1)
        target_multiples = at_rows(class_shifts.multiples)
        return loss + left * class_shifts.mean_kl_nats * (multiples - target_multiples) ** 2

    def _hidden(
        self, model: nn.Module, inputs: dict[str, Any], counted: torch.Tensor
    ) -> torch.Tensor:
        """(N, D) float32: what the head is given at the N positions that count."""
        given: list[torch.Tensor] = []

        def record(hidden: torch.Tensor) -> torch.Tensor:
            given.append(hidden[counted].float())
            return hidden[..., :1]

        plain = self.accelerator.unwrap_model(model)
        read = {k: v for k, v in inputs.items() if k not in ("weights", "index")}
        precision = lower_precision(plain, self.args.body_precision)
        lower: AbstractContextManager[object] = nullcontext()
        if self._lower_blocks is not None:
            lower = self._lower_blocks.replaying(inputs["index"].tolist())
        with lower, precision, replaced_forward(head_of(plain)[1], record):
            model(**read, use_cache=False)
        return given[0]
