"""A model without its weights, made of its config to see how much memory it would take.

On torch's ``meta`` device a tensor has a shape and no storage, so that this takes milliseconds
whatever a config asks for.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from tiltlm.errors import ModelError, reason_of
from tiltlm.models.folder import check_numbers, read_json, read_shapes
from tiltlm.models.names import cannot_load

_FREE_NUMBERS = 1 << 24
"""Numbers that a model may have beyond those in its files: tables made at the start."""

_MOST_PACKED = 8
"""Numbers in a byte at most, in weights that are rounded to few bits."""


def checked_config(source: str, name: str) -> tuple[PreTrainedConfig, int]:
    """The config of a model, held against the weights that there are before any is allocated.

    Args:
        source: a folder, or a name on the Hub, of whose weights nothing is known yet.
        name: of the model, for messages.

    Returns:
        the config, and how many numbers a model of it has.

    Raises:
        ModelError: config or weights cannot be read, or do not belong together.
    """
    folder = Path(source)
    shapes = read_shapes(folder) if folder.is_dir() else None
    if shapes is not None:
        file = folder / "config.json"
        check_numbers(read_json(file), str(file), len(shapes.shapes))
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # Each architecture has checks of its own.
        raise cannot_load(name, error) from None
    # A config may name a kernel on the Hub, which is code of a stranger.
    setattr(config, "_attn_implementation", None)  # noqa: B010
    wanted = weights_of(config, name)
    if shapes is not None:
        # What the file leaves out has defaults, which may be another model's.
        check_numbers(config.to_dict(), name, len(shapes.shapes))
        packed = getattr(config, "quantization_config", None) is not None
        check_size(wanted, shapes.bytes, name, packed=packed)
    return config, wanted


def check_size(wanted: int, weight_bytes: int, where: str, *, packed: bool = False) -> None:
    """Refuse a config that asks for far more weights than its files can hold.

    Args:
        wanted: numbers that the config asks for.
        weight_bytes: of its files.
        where: the model, for the message.
        packed: whether its weights are rounded to few bits.

    Raises:
        ModelError: it asks for more.
    """
    if wanted > (_MOST_PACKED if packed else 1) * weight_bytes + _FREE_NUMBERS:
        raise ModelError(
            f"the config asks for {wanted:,} weights, the files have {weight_bytes:,} bytes",
            where=where,
            fix="use a folder with all of the model's weights",
        )


def check_memory(config: PreTrainedConfig, where: str) -> None:
    """Refuse a model that is to be drawn at random and is larger than this machine's memory.

    Args:
        config: of the model.
        where: the model, for the message.

    Raises:
        ModelError: it is, or no model can be made of it.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = 4 * weights_of(config, where)
    if needed > memory:
        raise ModelError(
            f"the model takes {needed / 1e9:,.0f} GB, this machine has {memory / 1e9:,.0f}",
            where=where,
            fix="make it smaller",
        )


def weights_of(config: PreTrainedConfig, where: str) -> int:
    """How many numbers a model of this config has, its tables included.

    Args:
        config: of the model.
        where: the model, for the message.

    Raises:
        ModelError: no model can be made of it.
    """
    model = skeleton_of(config, where)
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() for tensor in tensors)


def skeleton_of(config: PreTrainedConfig, where: str) -> PreTrainedModel:
    """A model of this config without its weights.

    Args:
        config: of the model.
        where: the model, for the message.

    Raises:
        ModelError: no model can be made of it.
    """
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, trust_remote_code=False
            )
    except Exception as error:  # Each architecture has checks of its own, or none.
        raise ModelError(
            f"no model can be made of the config: {reason_of(error)}",
            where=where,
            fix="correct the config",
        ) from None
    return model
