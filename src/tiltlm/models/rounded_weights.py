"""Models whose weights were rounded when they were loaded: what the rounded weights stand for."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

_COLUMNS = 1024
"""Of a rounded weight that are found out at once."""


def is_rounded(model: PreTrainedModel) -> bool:
    """Whether a model's weights were rounded when it was loaded (``--quantization``)."""
    return getattr(model.config, "quantization_config", None) is not None


def is_rounded_layer(layer: Any) -> bool:
    """Whether a linear layer holds whole numbers that stand for its weight.

    Args:
        layer: without an adapter.
    """
    return not layer.weight.is_floating_point()


def weight_as_numbers(layer: Any) -> torch.Tensor:
    """The weight of a linear layer, that of a rounded one as the numbers that it multiplies by.

    How whole numbers lie in memory differs by kind and device, so a rounded layer is asked: its
    outputs for the unit vectors are the columns of its weight.

    Args:
        layer: without an adapter.

    Returns:
        the weight itself; of a rounded layer (outputs, inputs) float32.
    """
    weight: torch.Tensor = layer.weight.detach()
    if not is_rounded_layer(layer):
        return weight
    inputs = layer.in_features
    numbers = torch.empty(layer.out_features, inputs, device=weight.device)
    bias = 0.0 if layer.bias is None else layer.bias.float()
    for begin in range(0, inputs, _COLUMNS):
        columns = torch.arange(begin, min(begin + _COLUMNS, inputs), device=weight.device)
        with torch.no_grad():
            outputs = layer(nn.functional.one_hot(columns, inputs).float())
        numbers[:, columns] = (outputs.float() - bias).T
    return numbers


def plain_linear(layer: Any, weight: torch.Tensor, dtype: torch.dtype) -> Any:
    """A linear layer with another weight, in floating point.

    Args:
        layer: without an adapter; changed in place and returned unless it is rounded.
        weight: of its shape.
        dtype: of the weight where the layer is rounded.
    """
    if not is_rounded_layer(layer):
        layer.weight = nn.Parameter(weight)
        return layer
    plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    plain.weight, plain.bias = nn.Parameter(weight.to(dtype)), layer.bias
    return plain


def forget_rounding(model: PreTrainedModel) -> None:
    """Take what says that weights are rounded off a model in which none is any more."""
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    model.is_quantized = False  # type: ignore[assignment]
    model.hf_quantizer = None  # type: ignore[assignment]
    for name in ("is_loaded_in_4bit", "is_loaded_in_8bit", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
