"""Spare a model's last block what only its other positions need, where the last one alone is read.

Keys and values of all positions are needed up to the last block; what follows its attention there
is not. Only the block's MLP is spared, which is two thirds of its products: attention is written
anew in every architecture, and an MLP is one function of each position in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from tiltlm.models.head import replaced_forward


@contextmanager
def only_last_position(model: PreTrainedModel) -> Iterator[None]:
    """Let a model be right at the last position only, for the length of the context.

    Args:
        model: whose last block's MLP is then zero at all other positions; a model in which no such
            block is found is left alone.
    """
    mlp = _last_mlp(model)
    if mlp is None:
        yield
        return
    whole = mlp.forward

    def at_last(hidden: torch.Tensor) -> torch.Tensor:
        last = whole(hidden[:, -1:])
        return nn.functional.pad(last, (0, 0, hidden.shape[1] - 1, 0))

    with replaced_forward(mlp, at_last):
        yield


def _last_mlp(model: PreTrainedModel) -> nn.Module | None:
    """The MLP of the last block, where the model has as many blocks in a row as its config says."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            mlp = getattr(module[-1], "mlp", None)
            return mlp if isinstance(mlp, nn.Module) else None
    return None
