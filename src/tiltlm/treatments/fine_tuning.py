"""Ordinary fine-tuning on clean text, with transformers' trainer and its language-model loss."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.token_contexts import TokenContexts, collate
from tiltlm.models.precision import Precision, lower_precision
from tiltlm.models.seeding import seeded
from tiltlm.models.trainer_device import keep_in_place

BATCH = 4
"""Contexts a step."""

LEARNING_RATE = 2e-5
"""Of AdamW, the same from the first step to the last."""

_MOMENTUM = 0.9
"""Of SGD."""


def fine_tune(
    model: PreTrainedModel,
    clean: TokenContexts,
    milestones: Sequence[int],
    seed: int,
    act: Callable[[int], None] | None = None,
    *,
    batch: int = BATCH,
    learning_rate: float = LEARNING_RATE,
    bf16: bool = False,
    momentum: bool = False,
) -> None:
    """Train a model by AdamW, or SGD with momentum, at a constant rate.

    Args:
        model: changed in place, and left in evaluation mode; its parameters that require
            gradients are trained. A model in half precision is float32 meanwhile, where these are
            its own.
        clean: contexts; each token predicts the next.
        milestones: steps after which ``act`` is called; the last is where training ends.
        seed: of the order of contexts; the caller's random state is left alone.
        act: told the step; the model is in evaluation mode meanwhile.
        batch: contexts a step.
        learning_rate: of the optimizer.
        bf16: whether matrix products are in bfloat16.
        momentum: whether the optimizer is SGD with momentum instead of AdamW.
    """
    with tempfile.TemporaryDirectory() as folder, seeded(None, model.device):
        arguments = _arguments(model, folder, max(milestones), seed, batch, learning_rate)
        types = {p: p.dtype for p in model.parameters()}
        # Steps as small as these are rounded away in half precision.
        if any(p.requires_grad and p.dtype != torch.float32 for p in types):
            _hold_in(dict.fromkeys(types, torch.float32))
        trainer = _CleanTrainer(
            model,
            arguments,
            data_collator=_batch_with_labels,
            train_dataset=_Labelled(clean),
            callbacks=[AtSteps(milestones, act)] if act else None,
            optimizers=(_sgd(model, learning_rate) if momentum else None, None),
        )
        trainer.precision = "bfloat16" if bf16 else "float32"
        trainer.remove_callback(PrinterCallback)  # standard output may be JSON
        trainer.train()
    _hold_in(types)
    model.eval()


def _hold_in(types: dict[nn.Parameter, torch.dtype]) -> None:
    """Hold parameters in these types; buffers stay, as the angles of positions must be float32."""
    for parameter, dtype in types.items():
        parameter.data = parameter.data.to(dtype)


def _arguments(
    model: PreTrainedModel, folder: str, steps: int, seed: int, batch: int, learning_rate: float
) -> TrainingArguments:
    """Of a trainer that leaves the model where it lies, and writes nothing."""
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=learning_rate,
        lr_scheduler_type="constant",
        save_strategy="no",
        report_to=[],
        seed=seed,
        disable_tqdm=True,
        logging_strategy="no",
        dataloader_pin_memory=model.device.type == "cuda",
    )
    keep_in_place(arguments, model)
    # Of several GPUs one is used: Trainer would copy the model into threads (DataParallel), and a
    # step would be of more pieces than was asked for.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _sgd(model: PreTrainedModel, learning_rate: float) -> torch.optim.Optimizer:
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.SGD(trained, learning_rate, momentum=_MOMENTUM)


class _CleanTrainer(Trainer):
    """Trains in a precision that is left behind with each step.

    With ``bf16`` among its arguments a trainer would put the model's own ``forward`` into bfloat16,
    and leave it there, so that what is read of the model afterwards would be in bfloat16 too.
    """

    precision: Precision = "float32"

    def compute_loss(self, model: Any, *arguments: Any, **options: Any) -> Any:
        with lower_precision(model, self.precision):
            return super().compute_loss(model, *arguments, **options)


class AtSteps(TrainerCallback):
    """Calls a function after some steps, with the model in evaluation mode."""

    def __init__(self, milestones: Sequence[int], act: Callable[[int], None]) -> None:
        self.milestones, self.act = set(milestones), act

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.milestones:
            model = kwargs["model"]
            model.eval()
            self.act(state.global_step)
            model.train()


class _Labelled(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Contexts with themselves as labels."""

    def __init__(self, contexts: TokenContexts) -> None:
        self.contexts = contexts

    def __len__(self) -> int:
        return len(self.contexts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = self.contexts.sequences[index]
        return {"input_ids": ids, "labels": ids}


def _batch_with_labels(items: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """A padded batch in which padding is no label; −100 is transformers' sign for that."""
    batch = collate(items)
    batch["labels"] = torch.where(batch["attention_mask"] > 0, batch["input_ids"], -100)
    return batch
