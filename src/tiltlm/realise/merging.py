"""Merging an adapter into weights, and keeping a tilt of the head through their rounding.

Weights in half precision take up an adapter only as far as their digits go: of a small tilt most
entries are too small to move the weight that they are added to. So the head's rows are rounded one
column after the other, and what a column's rounding costs is made up for by the columns that are
still to come, in the second moments of the hidden states that the head is given.

Source: Frantar et al. 2022, "GPTQ"; its grid here is that of floating-point numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from tiltlm.contexts.reference import Reference
from tiltlm.models.placement import float64_device
from tiltlm.models.structure import untie_head
from tiltlm.realise.regression import float64_blocks

HALVES = (torch.bfloat16, torch.float16)
"""Types of weights with too few digits for small tilts."""

DAMPING = 1e-2
"""Added to the second moments' diagonal, as a share of its mean."""

_TOKENS = 4096
"""Rows of the head that are rounded together."""

_COLUMNS = 128
"""Columns whose errors are carried on to all later ones together."""


def merge_adapter(model: PeftModel, fit: Reference | None = None) -> PreTrainedModel:
    """Merge an adapter into the weights of its model.

    Args:
        model: with an adapter; taken apart in memory.
        fit: the reference at the fitting contexts. Given, the rows of a head in half precision are
            rounded so that their errors cancel at its hidden states; without it each entry is
            rounded by itself. The reference's own head is left as it is.

    Returns:
        the whole model, its head untied from the embedding.
    """
    untie_lora_head(model)
    layer: Any = model.get_base_model().get_output_embeddings()  # type: ignore[operator]
    inner = getattr(layer, "base_layer", layer)
    if fit is not None and inner is not layer and inner.weight.dtype in HALVES:
        # The head is merged here, so that nothing is left of its adapter for peft to add.
        inner.weight = nn.Parameter(_merged_head(layer, inner.weight.detach(), fit))
        with torch.no_grad():
            layer.lora_B[layer.active_adapters[0]].weight.zero_()
    merged: PreTrainedModel = model.merge_and_unload()
    return merged


def untie_lora_head(model: PeftModel) -> None:
    """Give the head under an adapter a weight of its own, so that merging spares the embedding.

    Args:
        model: with an adapter; changed in place.
    """
    untie_head(model.get_base_model())  # type: ignore[arg-type]


def _merged_head(layer: Any, weight: torch.Tensor, fit: Reference) -> torch.Tensor:
    """The head's (V, D) weight with its adapter, rounded where the adapter changes anything."""
    name = layer.active_adapters[0]
    down, up = layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach()
    moments = _second_moments(fit)
    merged = weight.clone()
    for tokens in up.any(1).nonzero()[:, 0].split(_TOKENS):
        exact = weight[tokens].float() + (up[tokens] @ down) * layer.scaling[name]
        merged[tokens] = round_rows(exact, moments, weight.dtype)
    return merged


def _second_moments(fit: Reference) -> torch.Tensor:
    """(D, D) float64 mean of h·hᵀ over the positions that count."""
    contexts = fit.contexts
    hidden = [rows[contexts.positions(i)] for i, rows in enumerate(fit.hidden)]
    total = sum(rows.T @ rows for rows in float64_blocks(hidden, float64_device(fit.head.weight)))
    assert isinstance(total, torch.Tensor)
    return total / contexts.tokens


def round_rows(
    exact: torch.Tensor, second_moments: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Round rows w so that their products w·h change as little as can be.

    Args:
        exact: (N, D) float32.
        second_moments: (D, D) float64, the mean of h·hᵀ.
        dtype: to round to.

    Returns:
        (N, D) of that type.
    """
    size = second_moments.diagonal().mean()
    # Columns that matter most come first, while there are others to make up for their errors.
    order = second_moments.diagonal().argsort(descending=True)
    damped = second_moments[order][:, order] + DAMPING * size * torch.eye(len(order)).to(size)
    factor = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True).to(exact)
    left, rounded = exact[:, order.to(exact.device)], torch.empty_like(exact, dtype=dtype)
    for first in range(0, len(order), _COLUMNS):
        block = slice(first, min(first + _COLUMNS, len(order)))
        errors = torch.empty_like(left[:, block])
        for column in range(block.start, block.stop):
            values = left[:, column].to(dtype)
            rounded[:, order[column]] = values
            error = (left[:, column] - values.to(left)) / factor[column, column]
            left[:, column : block.stop] -= error[:, None] * factor[column, column : block.stop]
            errors[:, column - first] = error
        left[:, block.stop :] -= errors @ factor[block, block.stop :]
    return rounded
