"""Realise a target by gradient descent: transformers' `Trainer` with another loss.

The loop, precision, distribution, logging and resuming are the Trainer's. Here are the positions of
the loss and its denominator; `batch_loss` computes the loss itself, and `checkpoint_trainer` takes
care of checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import collate
from tiltlm.errors import ConfigError, TargetError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.structure import vocabulary_size
from tiltlm.models.trainer_device import keep_in_place
from tiltlm.realise.batch_loss import BatchLoss
from tiltlm.realise.checkpoint_trainer import CheckpointTrainer
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.padded_dataset import PaddedDataset
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.target import Target


class TiltTrainer(CheckpointTrainer):
    """Train a causal language model towards a target.

    Args:
        model: any transformers causal language model.
        args: a `TiltConfig`.
        target: what to train towards; a `Target` is bound to the vocabulary of
            ``processing_class``, or given already bound.
        train_dataset: contexts; items with ``input_ids`` (length,), optionally
            ``attention_mask``; `TokenContexts` also weight each position.
        processing_class: the model's tokenizer.
        reference: the reference model at ``train_dataset``, for targets that are built from it
            (all but ``uniform`` and ``weights``).
        kwargs: anything else that ``Trainer`` takes.

    Raises:
        ConfigError: an unbound target without a tokenizer, or a target without its reference.
        EventError, TargetError: the target makes no sense over this vocabulary, or its reverse KL
            is infinite.
        VocabularyError: the target is over another vocabulary than the model's.
        DivergedError: during training, when the loss or a weight stops being finite.

    Source: article, section "Training"; the conventions are TRL's.
    """

    # compute_loss divides by the positions of the whole step, so the Trainer must not divide again.
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
        bound = _bind(model, target, processing_class)
        _check_target(bound, args, reference)
        if model.device.type != "cpu":
            keep_in_place(args, model)
        super().__init__(
            model,
            args,
            train_dataset=train_dataset,
            processing_class=processing_class,
            optimizer_cls_and_kwargs=args.optimizer_class_and_arguments(),
            data_collator=kwargs.pop("data_collator", collate),
            **kwargs,
        )
        self.target = bound
        at_reference = reference is not None and reference.contexts is train_dataset
        self._loss = BatchLoss(model, bound, args, reference, frozen=at_reference)
        self._event_mass: list[torch.Tensor] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The contexts in order, the same in a step on any number of processes."""
        dataset, processes = self.train_dataset, self.accelerator.num_processes
        uneven = processes > 1 and not self.args.dataloader_drop_last
        if uneven and not isinstance(dataset, IterableDataset):
            self.train_dataset = PaddedDataset(dataset, self._train_batch_size * processes)
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = dataset

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """The batches of one step, and what the positions of all processes in it weigh together.

        Args:
            epoch_iterator: gives batches.
            num_batches: of the step, in this process.
            device: where the weight is wanted.

        Returns:
            the batches, and a float64 scalar.
        """
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        total_weight = torch.zeros((), dtype=torch.float64, device=device)
        for batch in batches:
            total_weight += self._weights(batch).sum(dtype=torch.float64).to(device)
        return batches, self.accelerator.reduce(total_weight, reduction="sum")

    def _weights(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(batch, length) float32: how much each position counts in the loss."""
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
        weights = inputs.get("weights", mask.float())
        if self.args.loss_positions == "all":
            return weights
        position = torch.arange(ids.shape[1], device=ids.device)
        last = torch.where(weights > 0, position, -1).amax(dim=1, keepdim=True)
        return torch.where(position == last, weights, 0.0)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Divergence summed over this batch's positions, over the weight of the whole step's.

        Args:
            model: perhaps wrapped.
            inputs: a batch.
            return_outputs: return the model's outputs too, which makes all logits.
            num_items_in_batch: what the positions of the whole step weigh; None for this batch's.

        Returns:
            the loss in nats; with outputs where they were asked for.

        Raises:
            DivergedError: the loss is not finite.
        """
        weights = self._weights(inputs)
        positions = weights > 0
        total_weight = weights.sum() if num_items_in_batch is None else num_items_in_batch
        outputs, loss, event_mass = self._loss(
            model,
            self.accelerator.unwrap_model(model),
            inputs,
            positions,
            weights[positions] / total_weight,
            return_outputs=return_outputs,
        )
        if not bool(torch.isfinite(loss)):
            raise self._diverged(f"the loss became {loss.item()}")
        if event_mass is not None:
            count = event_mass.new_tensor(len(event_mass))
            self._event_mass.append(torch.stack([event_mass.sum(), count]))
        # Gradients and logged losses are averaged over processes; the denominator already counts
        # the positions of all of them.
        loss = loss.float().to(weights.device) * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the event mass at the step's own contexts, at which the model had not been trained.

        It is the mean over all positions of all processes, so all of them must call this.

        Args:
            logs: what the Trainer logs; ``event_mass`` is added where there is a loss.
            start_time: as the Trainer has it.
        """
        if self._event_mass and "loss" in logs:
            own_sums = torch.stack(self._event_mass).sum(0)
            mass, count = self.accelerator.reduce(own_sums, reduction="sum").tolist()
            logs["event_mass"] = mass / max(count, 1.0)
            self._event_mass.clear()
        super().log(logs, start_time)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Names of the parameters that weight decay acts on: all, as in torch and the article."""
        return [name for name, _ in model.named_parameters()]


def _bind(
    model: PreTrainedModel,
    target: Target | BoundTarget,
    tokenizer: PreTrainedTokenizerBase | None,
) -> BoundTarget:
    """A target over the model's own vocabulary."""
    size = vocabulary_size(model)
    if isinstance(target, Target):
        if tokenizer is None:
            raise ConfigError(
                "a target needs the vocabulary",
                fix="give TiltTrainer processing_class=tokenizer, or target.bind(vocabulary)",
            )
        target = target.bind(Vocabulary.from_tokenizer(tokenizer, size), tokenizer)
    target.check_vocabulary(size, where=type(model).__name__)
    return target


def _check_target(target: BoundTarget, args: TiltConfig, reference: Reference | None) -> None:
    """Refuse a target that lacks its reference, or whose divergence would be infinite."""
    if target.needs_reference and reference is None:
        raise ConfigError(
            f"the target {target.text} is built from the reference model's distribution",
            fix="give TiltTrainer reference=Reference(model, contexts), "
            "or use tiltlm.train, which does",
        )
    if args.divergence == "reverse_kl" and target.forbids_tokens:
        raise TargetError(
            f"reverse KL is infinite: {target.text} forbids tokens that the model allows",
            fix="use forward_kl or jensen_shannon",
        )
