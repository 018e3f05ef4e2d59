"""How much goes through a model at once: on a GPU as much as there is room for, else a fixed size.

Where less fits than was thought, a batch is taken in two halves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tiltlm.errors import ModelError
from tiltlm.models.free_memory import free_memory
from tiltlm.models.structure import input_device, vocabulary_size

TOKENS = 1024
"""Tokens at once on a processor, padding included; more is not faster there."""

_MOST_TOKENS, _MOST_POSITIONS = 1 << 14, 1 << 10
"""At once on a GPU; more is hardly faster there."""

_WIDTHS = 12
"""Numbers of a token that a layer holds at once, in widths of the model, besides its MLP's."""

_MLPS = 4
"""The same in widths of its MLP."""

_COPIES = 16
"""Numbers for each logit of a position that are held at once while it is looked at, float32."""


def tokens_at_once(model: Any) -> int:
    """How many tokens go through a model at once, padding included.

    Args:
        model: on the processor, or on a GPU, of whose free memory a quarter is used.

    Returns:
        a power of two.
    """
    device = input_device(model)
    if device.type != "cuda":
        return TOKENS
    config = model.config.get_text_config()
    width = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * width)
    token = model.dtype.itemsize * (_WIDTHS * width + _MLPS * inner)
    return _power_of_two(free_memory(device) // 4 // token, TOKENS, _MOST_TOKENS)


def positions_at_once(model: Any, on_processor: int) -> int:
    """At how many positions logits are made at once.

    Args:
        model: on the processor, or on a GPU, of whose free memory a quarter is used.
        on_processor: how many there.

    Returns:
        that number, or a power of two.
    """
    device = input_device(model)
    if device.type != "cuda":
        return on_processor
    position = 4 * _COPIES * vocabulary_size(model)
    return _power_of_two(free_memory(device) // 4 // position, on_processor, _MOST_POSITIONS)


def in_halves(run: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> torch.Tensor:
    """Run something on a batch; where a GPU has no room for that, on two halves of it, and so on.

    Args:
        run: from tensors (n, …) to a tensor (n, …), row by row.
        tensors: (batch, …) each.

    Returns:
        (batch, …).

    Raises:
        ModelError: there is no room for a single row.
    """
    try:
        return run(*tensors)
    except torch.OutOfMemoryError:
        size = len(tensors[0])
        if size == 1:
            raise ModelError(
                "the GPU has no room for a single context",
                fix="--dtype bfloat16, --quantization 8bit or 4bit, or shorter contexts",
            ) from None
    # Outside the handler, since the error holds on to what had been computed.
    torch.cuda.empty_cache()
    halves = (slice(None, size // 2), slice(size // 2, None))
    return torch.cat([in_halves(run, *(t[half] for t in tensors)) for half in halves])


def _power_of_two(number: int, least: int, most: int) -> int:
    """The largest power of two that is at most a number, between two others.

    >>> _power_of_two(5000, 1024, 16384), _power_of_two(10, 1024, 16384)
    (4096, 1024)
    """
    return min(most, max(least, 1 << max(0, number.bit_length() - 1)))
