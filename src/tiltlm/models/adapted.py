"""Models with LoRA adapters in them: what each layer's weight comes to, and a plain copy.

Only plain LoRA is known here: a layer of weight W that computes (W + s·B A) h. Every other kind of
adapter is merged when it is loaded, so no model has one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tiltlm.models.rounded_weights import (
    forget_rounding,
    is_rounded,
    is_rounded_layer,
    plain_linear,
    weight_as_numbers,
)

_ROWS = 4096
"""Outputs that are made in float32 at once."""


def lora_factors(layer: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """What a LoRA adapter adds to its layer, as two factors.

    Args:
        layer: of a model.

    Returns:
        A (r, inputs) and s·B (outputs, r), float32, of the active adapters; None where none is
        active or the layer has none.
    """
    names = [n for n in getattr(layer, "active_adapters", ()) if n in getattr(layer, "lora_A", ())]
    if not names or layer.disable_adapters or layer.merged:
        return None
    down = [layer.lora_A[name].weight.detach().float() for name in names]
    up = [layer.lora_B[name].weight.detach().float() * layer.scaling[name] for name in names]
    return torch.cat(down), torch.cat(up, 1)


def linear_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The linear layers of a model by their names, each with its adapter if it has one."""
    inside = ""
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            inside = f"{name}."
            yield name, module
        elif isinstance(module, nn.Linear | Conv1D):
            yield name, module


def plain_layer(layer: Any) -> Any:
    """A layer without its adapter."""
    return getattr(layer, "base_layer", layer)


def merged_weight(layer: Any, share: float = 1.0) -> torch.Tensor:
    """The weight of a linear layer with its adapter merged into it.

    Args:
        layer: as `linear_layers` gives it.
        share: of the adapter.

    Returns:
        W + share·s·B A in the layer's own shape and type; W itself where there is no adapter. Of a
        rounded layer W is what it multiplies by.
    """
    plain, factors = plain_layer(layer), lora_factors(layer)
    weight = weight_as_numbers(plain)
    if factors is None or share == 0:
        return weight
    down, up = factors
    merged = torch.empty_like(weight)
    outputs = [part.T if isinstance(plain, Conv1D) else part for part in (weight, merged)]
    for begin in range(0, len(up), _ROWS):
        rows = slice(begin, begin + _ROWS)
        outputs[1][rows] = (outputs[0][rows].float() + share * (up[rows] @ down)).to(weight.dtype)
    return merged


def has_adapters(model: nn.Module) -> bool:
    """Whether any linear layer of a model has an active adapter."""
    return any(lora_factors(layer) is not None for _, layer in linear_layers(model))


def plain_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A model of its own that computes the same, all adapters merged into its weights.

    Args:
        model: left as it is.
    """
    copied = copy.deepcopy(model)
    merge_adapters(copied)
    if is_rounded(copied):
        forget_rounding(copied)
    return copied


def merge_adapters(model: nn.Module) -> None:
    """Put plain layers in place of those with an adapter, which is merged into their weights.

    Rounded layers become plain ones as well, so that their weights can be changed.

    Args:
        model: changed in place; a head that had an adapter no longer shares the embedding.
    """
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    for name, layer in list(linear_layers(model)):
        plain = plain_layer(layer)
        if plain is not layer or is_rounded_layer(plain):
            # A new parameter, so that what an adapter adds to the head spares the embedding.
            model.set_submodule(name, plain_linear(plain, merged_weight(layer), dtype))
