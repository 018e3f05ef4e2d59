"""Where transformers' trainers train: on the device on which the model lies already."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, TrainingArguments


def keep_in_place(arguments: TrainingArguments, model: PreTrainedModel) -> None:
    """Let a ``Trainer`` leave a model where it lies; by itself it takes all to the first GPU.

    With several processes the launcher says which GPU each has, and nothing is changed.

    Args:
        arguments: of the trainer, which is not made yet; changed in place.
        model: on the device that its user chose.
    """
    device = model.device
    if arguments.world_size > 1 or arguments.device == device:
        return
    # What `Accelerator` asks, and what `arguments.device` was worked out to be.
    arguments.distributed_state.device = device
    vars(arguments)["_setup_devices"] = device
    arguments._n_gpu = 0 if device.type == "cpu" else 1
    if device.type == "cuda":
        torch.cuda.set_device(device)
