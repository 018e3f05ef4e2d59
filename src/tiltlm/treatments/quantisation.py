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
    """Round the weights of linear layers, head included, by absmax.

    Args:
        model: changed in place.
        bits: so many; 8 gives 255 steps.
        group: weights that share a scale, along the inputs; None for all of an output.
        generator: given, the rounding is stochastic: up or down with the chance that keeps the
            mean.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[127.0, 0.6]]))
    >>> round_weights(nn.Sequential(layer)); layer.weight.tolist()
    [[127.0, 1.0]]
    """
    top = 2 ** (bits - 1) - 1
    seen: set[int] = set()
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            weight = module.weight.data
            rows = weight.T if isinstance(module, Conv1D) else weight
            shape = rows.shape
            rows = rows.reshape(-1, group) if group and shape[1] % group == 0 else rows
            scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-30) / top
            steps = rows / scale
            if generator is not None:
                noise = torch.rand(steps.shape, generator=generator).to(steps) - 0.5
                steps = steps + noise
            found = (steps.round().clamp(-top, top) * scale).reshape(shape)
            weight.copy_(found.T if isinstance(module, Conv1D) else found)
