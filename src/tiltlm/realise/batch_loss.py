"""The loss of a batch: the divergence of a model from a target at the positions that count.

Wherever the model allows it, the loss is fused with the head and no logits are made, and a body
that is not trained is not run. Either way the loss is the same.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from tiltlm.contexts.reference import Reference
from tiltlm.errors import ModelError
from tiltlm.losses.divergences import divergence_named
from tiltlm.losses.head_target import HeadTarget, TargetFromHead
from tiltlm.models.head import full_head
from tiltlm.models.precision import lower_precision, resolve_precision
from tiltlm.models.structure import can_keep_logits, head_of
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.fused_loss import FusedLoss
from tiltlm.realise.lower_blocks import LowerBlocks
from tiltlm.targets.bound import BoundTarget


class BatchLoss:
    """Divergence of a model from a target, summed over the positions of a batch.

    Args:
        model: as it will be trained, adapters and all, on its device.
        target: bound to the model's vocabulary, and fitted.
        args: divergence, positions and precision.
        reference: the reference model, for targets that are built from it.
        frozen: whether batches are of the reference's own contexts, so that a body that is not
            trained, or its lower blocks, need not run.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        target: BoundTarget,
        args: TiltConfig,
        reference: Reference | None,
        *,
        frozen: bool,
    ) -> None:
        self._target, self._args, self._reference = target, args, reference
        self._target_log_probs: torch.Tensor | None = None
        if target.fixed is not None:
            self._target_log_probs = target.log_probs().to(args.device)
        self._event_mask: torch.Tensor | None = None
        if target.events and not target.depends_on_context:
            self._event_mask = target.event_masks([None])[:, 0].any(0).to(args.device)
        self._lowers_precision = model.dtype == torch.float32 and not (args.bf16 or args.fp16)
        self._lowers_precision &= resolve_precision(args.body_precision, args.device) != "float32"
        self._full_head = self._lowers_precision or model.dtype in (torch.bfloat16, torch.float16)
        self._fused = _fused_loss(model, self._lowers_precision) if args.fused_loss else None
        self._frozen_body: FrozenBody | None = None
        self._lower_blocks: LowerBlocks | None = None
        if frozen and reference is not None:
            self._frozen_body = FrozenBody.of(model, reference)
            self._lower_blocks = LowerBlocks.of(model, reference)
        # Where hidden states and the head under the adapter are the reference's own, the fused
        # loss computes the reference's logits anyway.
        self._shares_head_product = self._frozen_body is not None
        self._shares_head_product &= _has_head_of(model, reference)
        self._shares_head_product &= self._fused is not None
        self._can_keep_logits = can_keep_logits(model)

    def __call__(
        self,
        model: nn.Module,
        unwrapped: Any,
        inputs: dict[str, Any],
        positions: torch.Tensor,
        row_weights: torch.Tensor,
        *,
        return_outputs: bool = False,
    ) -> tuple[Any, torch.Tensor, torch.Tensor | None]:
        """Run the model on a batch.

        Args:
            model: perhaps wrapped.
            unwrapped: the same without wrappers.
            inputs: the batch, with ``index`` where the target is built from the reference.
            positions: (batch, length) boolean, the N positions that count.
            row_weights: (N,) of the positions in order.
            return_outputs: make all logits, and return the model's outputs.

        Returns:
            the model's outputs (None where no logits were made), Σ row_weights·divergence in nats,
            and the model's event mass at each position (N,) (None for a target whose events depend
            on the context, or that has none).
        """
        only_last = bool(positions[:, -1].all()) and self._args.loss_positions == "last"
        # With a loss at the last position, the head need not be applied to the others.
        keep = {"logits_to_keep": 1} if only_last and self._can_keep_logits else {}
        read = {k: v for k, v in inputs.items() if k not in ("weights", "index")}
        read |= {**keep, "use_cache": False}
        fuses = self._fused is not None and not return_outputs
        head_target = self._head_target(inputs, positions, self._shares_head_product and fuses)
        body: AbstractContextManager[object] = nullcontext()
        frozen = self._frozen_body or self._lower_blocks
        if frozen is not None:
            body = frozen.replaying(inputs["index"].tolist())
        precision = self._args.body_precision if self._lowers_precision else "float32"
        with body, lower_precision(unwrapped, precision):
            if self._fused is None or return_outputs:
                return self._loss_from_logits(
                    model, unwrapped, read, positions, head_target, row_weights
                )
            loss, event_mass = self._fused(
                model,
                unwrapped,
                read,
                positions,
                head_target,
                row_weights,
                denominator=1.0,
                divergence=self._args.divergence,
                event=self._event_mask,
            )
            return None, loss, event_mass

    def _loss_from_logits(
        self,
        model: nn.Module,
        unwrapped: Any,
        read: dict[str, Any],
        positions: torch.Tensor,
        head_target: HeadTarget,
        row_weights: torch.Tensor,
    ) -> tuple[Any, torch.Tensor, torch.Tensor | None]:
        """The same through all logits, where the loss cannot be fused or outputs are wanted."""
        with full_head(unwrapped) if self._full_head else nullcontext():
            outputs = model(**read)
        logits = outputs.logits
        positions = positions[:, -logits.shape[1] :].to(logits.device)
        with torch.autocast(logits.device.type, enabled=False):
            log_probs = logits[positions].float().log_softmax(-1)
            assert not isinstance(head_target, TargetFromHead)  # Only where the loss is fused.
            if isinstance(head_target, torch.Tensor):
                target = head_target
            else:
                target = head_target(slice(0, len(log_probs))).log_softmax(-1)
            target = target.to(log_probs.device)
            divergence = divergence_named(self._args.divergence)(target, log_probs)
            event_mass = None
            if self._event_mask is not None:
                event_mask = self._event_mask.to(log_probs.device)
                event_mass = log_probs.detach()[:, event_mask].exp().sum(-1)
            return outputs, (divergence * row_weights.to(divergence.device)).sum(), event_mass

    def _head_target(
        self, inputs: dict[str, torch.Tensor], positions: torch.Tensor, shares_head_product: bool
    ) -> HeadTarget:
        """The target at the positions that count.

        Returns:
            (V,) log-probabilities where they are the same everywhere; else a function from rows to
            the target's logits, which is given those of the reference where
            ``shares_head_product``.
        """
        if self._target_log_probs is not None:
            return self._target_log_probs
        reference, bound = self._reference, self._target
        assert reference is not None
        hidden, states = [], []
        for row, index in enumerate(inputs["index"].tolist()):
            counted = positions[row].nonzero()[:, 0].cpu()
            context_states = reference.states(bound, index)
            hidden.append(reference.hidden[index][counted])
            states += [context_states[p] for p in counted.tolist()]
        rows = torch.cat(hidden)
        if shares_head_product:
            return TargetFromHead(lambda at, base: bound.logits(base, states[at]))

        def target_logits(at: slice) -> torch.Tensor:
            with torch.no_grad():
                base = reference.head.logits(rows[at])
                # There may be no position that counts in this process's batch.
                return bound.logits(base, states[at]) if len(base) else base

        return target_logits


def _fused_loss(model: Any, without_autocast: bool) -> FusedLoss | None:
    """The loss without logits; None, with a warning, where the model's head does not allow it."""
    try:
        return FusedLoss(model, without_autocast=without_autocast)
    except ModelError as error:
        # The warning names the line that made the trainer.
        warnings.warn(f"{error}; training goes through all logits, which is slower", stacklevel=4)
        return None


def _has_head_of(model: Any, reference: Reference | None) -> bool:
    """Whether the head under an adapter is, and stays, the reference's."""
    _, head = head_of(model)
    inner = getattr(head, "base_layer", None)
    if inner is None or reference is None or inner.weight.requires_grad:
        return False
    return bool(inner.weight.data_ptr() == reference.head.weight.data_ptr())
