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
from tiltlm.models.seeding import seeded
from tiltlm.models.trainer_device import keep_in_place

BATCH = 4
"""Contexts a step."""

LEARNING_RATE = 2e-5
"""Of AdamW, the same from the first step to the last."""


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
) -> None:
    """Train a model by AdamW at a constant rate.

    Args:
        model: changed in place, and left in evaluation mode; its parameters that require
            gradients are trained. A model in half precision is float32 meanwhile, where these are
            its own.
        clean: contexts; each token predicts the next.
        milestones: steps after which ``act`` is called; the last is where training ends.
        seed: of the order of contexts; the caller's random state is left alone.
        act: told the step; the model is in evaluation mode meanwhile.
        batch: contexts a step.
        learning_rate: of AdamW.
        bf16: whether matrix products are in bfloat16.
    """
    with tempfile.TemporaryDirectory() as folder, seeded(None, model.device):
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=max(milestones),
            per_device_train_batch_size=batch,
            learning_rate=learning_rate,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to=[],
            seed=seed,
            disable_tqdm=True,
            logging_strategy="no",
            bf16=bf16,
            use_cpu=model.device.type == "cpu",
            dataloader_pin_memory=model.device.type == "cuda",
        )
        keep_in_place(arguments, model)
        # Of several GPUs one is used: Trainer would copy the model into threads (DataParallel), and
        # a step would be of more pieces than was asked for.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        types = {p: p.dtype for p in model.parameters()}
        # Steps as small as these are rounded away in half precision.
        if any(p.requires_grad and p.dtype != torch.float32 for p in types):
            _hold_in(dict.fromkeys(types, torch.float32))
        trainer = Trainer(
            model,
            arguments,
            data_collator=_batch_with_labels,
            train_dataset=_Labelled(clean),
            callbacks=[_AtSteps(milestones, act)] if act else None,
        )
        trainer.remove_callback(PrinterCallback)  # standard output may be JSON
        trainer.train()
    _hold_in(types)
    model.eval()


def _hold_in(types: dict[nn.Parameter, torch.dtype]) -> None:
    """Hold parameters in these types; buffers stay, as the angles of positions must be float32."""
    for parameter, dtype in types.items():
        parameter.data = parameter.data.to(dtype)


class _AtSteps(TrainerCallback):
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
