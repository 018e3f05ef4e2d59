"""Realise a target by gradient descent: transformers' `Trainer` with another loss.

The loop, precision, distribution, logging and resuming are the Trainer's. Here are the loss, its
positions and its denominator; `checkpointed` takes care of checkpoints.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import collate
from tiltlm.errors import ConfigError, ModelError, TargetError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.losses.divergences import divergence_named
from tiltlm.losses.head_target import HeadTarget, TargetFromHead
from tiltlm.models.precision import full_head, lower_precision, resolve_precision
from tiltlm.models.structure import can_keep_logits, head_of, vocabulary_size
from tiltlm.realise.checkpoint_trainer import CheckpointTrainer
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.fused_loss import FusedLoss
from tiltlm.realise.padded_dataset import PaddedDataset
from tiltlm.targets.target import BoundTarget, Target


def _fused(model: Any, full_head: bool) -> FusedLoss | None:
    try:
        return FusedLoss(model, full_head=full_head)
    except ModelError as error:
        warnings.warn(f"{error}; training goes through all logits, which is slower", stacklevel=3)
        return None


def _has_head_of(model: Any, reference: Reference | None) -> bool:
    """Whether the head under an adapter is, and stays, the reference's."""
    _, head = head_of(model)
    inner = getattr(head, "base_layer", None)
    if inner is None or reference is None or inner.weight.requires_grad:
        return False
    return bool(inner.weight.data_ptr() == reference.head.weight.data_ptr())


class TiltTrainer(CheckpointTrainer):
    """Train a causal language model towards a target.

    Args:
        model: any transformers causal language model.
        args: a `TiltConfig`.
        target: what to train towards; a `Target` is bound to the vocabulary of
            ``processing_class``, or given already bound.
        train_dataset: contexts; items with ``input_ids`` (length,), optionally
            ``attention_mask``; `TokenContexts` also weigh each position.
        processing_class: the model's tokenizer.
        reference: the reference model over ``train_dataset``, for targets that are built from it
            (all but ``uniform`` and ``weights``).
        kwargs: anything else that ``Trainer`` takes.

    Raises:
        ConfigError: an unbound target without a tokenizer, or a target without its reference.
        EventError, TargetError: the target makes no sense over this vocabulary.
        VocabularyError: the target is over another vocabulary than the model's.
        DivergedError: during training, when the loss or a weight stops being finite.

    Source: article, section "Training"; the conventions are TRL's.
    """

    # compute_loss divides by the positions of the whole step, so Trainer must not divide again.
    loss_is_scaled_for_ga = True

    args: TiltConfig

    def __init__(
        self,
        model: PreTrainedModel,
        args: TiltConfig,
        target: Target | BoundTarget,
        train_dataset: Dataset[dict[str, torch.Tensor]],
        processing_class: PreTrainedTokenizerBase | None = None,
        reference: Reference | None = None,
        **kwargs: Any,
    ) -> None:
        size = vocabulary_size(model)
        if isinstance(target, Target):
            if processing_class is None:
                raise ConfigError(
                    "a target needs the vocabulary",
                    fix="give TiltTrainer processing_class=tokenizer, or target.bind(vocabulary)",
                )
            vocabulary = Vocabulary.from_tokenizer(processing_class, size)
            target = target.bind(vocabulary, processing_class)
        target.check_vocabulary(size, where=type(model).__name__)
        if target.needs_reference and reference is None:
            raise ConfigError(
                f"the target {target.text} is built from the reference model's distribution",
                fix="give TiltTrainer reference=Reference(model, contexts), "
                "or use tiltlm.train, which does",
            )
        forbids = target.fixed is not None and bool(target.log_probs().isneginf().any())
        if args.divergence == "reverse_kl" and forbids:
            raise TargetError(
                f"reverse KL is infinite: {target.text} forbids tokens that the model allows",
                fix="use forward_kl or jensen_shannon",
            )
        super().__init__(
            model,
            args,
            train_dataset=train_dataset,
            processing_class=processing_class,
            optimizer_cls_and_kwargs=args.optimizer_class_and_arguments(),
            data_collator=kwargs.pop("data_collator", collate),
            **kwargs,
        )
        self.target, self._reference = target, reference
        self._target_logp: torch.Tensor | None = None
        if target.fixed is not None:
            self._target_logp = target.log_probs().to(args.device)
        self._event_mask: torch.Tensor | None = None
        if target.events and not target.depends_on_context:
            self._event_mask = target.event_masks([None])[:, 0].any(0).to(args.device)
        self._lowers = model.dtype == torch.float32 and not (args.bf16 or args.fp16)
        self._lowers &= resolve_precision(args.body_precision, args.device) != "float32"
        self._fused = _fused(model, self._lowers) if args.fused_loss else None
        self._frozen: FrozenBody | None = None
        if reference is not None and reference.contexts is train_dataset:
            self._frozen = FrozenBody.of(model, reference)
        self._is_own_product = self._frozen is not None and _has_head_of(model, reference)
        self._is_own_product &= self._fused is not None
        self._keeps_logits = can_keep_logits(model)
        self._event_mass: list[torch.Tensor] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The contexts in order, the same in a step on any number of processes."""
        given, processes = self.train_dataset, self.accelerator.num_processes
        uneven = processes > 1 and not self.args.dataloader_drop_last
        if uneven and not isinstance(given, IterableDataset):
            self.train_dataset = PaddedDataset(given, self._train_batch_size * processes)
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = given

    # -- the loss ---------------------------------------------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """The batches of one step, and the weight of positions that all processes have in it."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        count = torch.zeros((), dtype=torch.float64, device=device)
        for batch in batches:
            count += self._weights(batch).sum(dtype=torch.float64).to(device)
        return batches, self.accelerator.reduce(count, reduction="sum")

    def _weights(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(batch, length) float32: how much each position counts in the loss."""
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
        weights = inputs.get("weights", mask.float())
        if self.args.loss_positions == "all":
            return weights
        place = torch.arange(ids.shape[1], device=ids.device)
        last = torch.where(weights > 0, place, -1).amax(dim=1, keepdim=True)
        return torch.where(place == last, weights, 0.0)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Divergence summed over this batch's positions, over the whole step's positions, nats."""
        weights = self._weights(inputs)
        positions = weights > 0
        count = weights.sum() if num_items_in_batch is None else num_items_in_batch
        only_last = bool(positions[:, -1].all()) and self.args.loss_positions == "last"
        # With a loss at the last position, the head need not be applied to the others.
        keep = {"logits_to_keep": 1} if only_last and self._keeps_logits else {}
        read = {k: v for k, v in inputs.items() if k not in ("weights", "index")}
        read |= {**keep, "use_cache": False}
        own_product = self._is_own_product and not return_outputs
        wish = self._wish(inputs, positions, own_product)
        body = self._frozen.answering(inputs["index"].tolist()) if self._frozen else nullcontext()
        unwrapped = self.accelerator.unwrap_model(model)
        precision = self.args.body_precision if self._lowers else "float32"
        with body, lower_precision(unwrapped, precision):
            outputs, loss, mass = self._loss_of(
                model, read, positions, wish, weights[positions] / count, return_outputs
            )
        if not bool(torch.isfinite(loss)):
            raise self._diverged(f"the loss became {loss.item()}")
        if mass is not None:
            self._event_mass.append(torch.stack([mass.sum(), mass.new_tensor(len(mass))]))
        # Gradients and logged losses are averaged over processes; the denominator already counts
        # the positions of all of them.
        loss = loss.float() * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _loss_of(
        self,
        model: nn.Module,
        read: dict[str, Any],
        positions: torch.Tensor,
        wish: HeadTarget,
        row_weights: torch.Tensor,
        return_outputs: bool,
    ) -> tuple[Any, torch.Tensor, torch.Tensor | None]:
        """Outputs (None where no logits were made), Σ row_weights·divergence, event mass."""
        plain = self.accelerator.unwrap_model(model)
        if self._fused is not None and not return_outputs:
            loss, mass = self._fused(
                model,
                plain,
                read,
                positions,
                wish,
                row_weights,
                denominator=1.0,
                divergence=self.args.divergence,
                event=self._event_mask,
            )
            return None, loss, mass
        with full_head(plain) if self._lowers else nullcontext():
            outputs = model(**read)
        logits = outputs.logits
        with torch.autocast(logits.device.type, enabled=False):
            logp = logits[positions[:, -logits.shape[1] :]].float().log_softmax(-1)  # (rows, V)
            assert not isinstance(wish, TargetFromHead)  # only where the loss is fused
            every = slice(0, len(logp))
            target = wish if isinstance(wish, torch.Tensor) else wish(every).log_softmax(-1)
            divergence = divergence_named(self.args.divergence)(target, logp)
            mass = None
            if self._event_mask is not None:
                mass = logp.detach()[:, self._event_mask].exp().sum(-1)
            return outputs, (divergence * row_weights).sum(), mass

    def _wish(
        self, inputs: dict[str, torch.Tensor], positions: torch.Tensor, own_product: bool
    ) -> HeadTarget:
        """The target's log-probabilities (V,), or a function from rows to its logits."""
        if self._target_logp is not None:
            return self._target_logp
        reference = self._reference
        assert reference is not None
        hidden, states = [], []
        for place, index in enumerate(inputs["index"].tolist()):
            where = positions[place].nonzero()[:, 0].cpu()
            read = reference.states(self.target, index)
            hidden.append(reference.hidden[index][where])
            states += [read[p] for p in where.tolist()]
        rows = torch.cat(hidden)
        if own_product:
            return TargetFromHead(lambda at, base: self.target.logits(base, states[at]))

        def wish(at: slice) -> torch.Tensor:
            with torch.no_grad():
                base = reference.head.logits(rows[at])
                # In this process's batch there may be nothing that counts.
                return self.target.logits(base, states[at]) if len(base) else base

        return wish

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the event mass on the step's own contexts, which it had not been trained on.

        It is the mean over all positions of all processes, so all of them must call this.
        """
        if self._event_mass and "loss" in logs:
            here = torch.stack(self._event_mass).sum(0)
            mass, count = self.accelerator.reduce(here, reduction="sum").tolist()
            logs["event_mass"] = mass / max(count, 1.0)
            self._event_mass.clear()
        super().log(logs, start_time)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All parameters, as in torch.optim and in the article."""
        return [name for name, _ in model.named_parameters()]
