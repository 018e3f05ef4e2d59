"""Weights rounded to few bits, in place: what quantisation does to a model, without its speed."""

from __future__ import annotations

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


def round_weights(
    model: nn.Module,
    bits: int = 8,
    group: int | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Round the weights of linear layers, head included, by the largest of each group (absmax).

    Args:
        model: changed in place; a weight that two layers share is rounded once.
        bits: of each weight; 8 give 255 levels.
        group: weights along the inputs that share a scale; None for all of an output. Where the
            inputs are no multiple of it, all of an output share one.
        generator: given, the rounding is stochastic: up or down with the chance that keeps the
            mean.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[127.0, 0.6]]))
    >>> round_weights(nn.Sequential(layer)); layer.weight.tolist()
    [[127.0, 1.0]]
    """
    done: set[int] = set()
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) not in done:
            done.add(id(module.weight))
            weight = module.weight.data
            by_output = weight.T if isinstance(module, Conv1D) else weight
            values = rounded(by_output, bits, group, generator)
            weight.copy_(values.T if isinstance(module, Conv1D) else values)


def rounded(
    weight: torch.Tensor,
    bits: int = 8,
    group: int | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """A weight rounded by the largest of each group (absmax).

    Args:
        weight: (outputs, inputs).
        bits: of each number.
        group: as in `round_weights`.
        generator: as in `round_weights`.

    Returns:
        (outputs, inputs) of the same type.
    """
    highest = 2 ** (bits - 1) - 1
    rows = weight
    if group and weight.shape[1] % group == 0:
        rows = weight.reshape(-1, group)
    scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-30) / highest
    levels = rows / scale
    if generator is not None:
        noise = torch.rand(levels.shape, generator=generator).to(levels) - 0.5
        levels = levels + noise
    return (levels.round().clamp(-highest, highest) * scale).reshape(weight.shape)
