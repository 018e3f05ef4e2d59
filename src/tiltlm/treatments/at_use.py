"""Other weights in a model's linear layers, made a layer at a time when it is run.

So a model can be looked at after rounding or merging, though there is no room for a second one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tiltlm.models.adapted import linear_layers, lora_factors, merged_weight, plain_layer
from tiltlm.models.sharing import shared_view
from tiltlm.models.structure import head_of
from tiltlm.treatments.quantisation import rounded

WeightOf = Callable[[Any], torch.Tensor]
"""The weight to use in place of a layer's own, of the same shape."""


class LinearAtUse(nn.Module):
    """A linear layer whose weight is made whenever it is run.

    Args:
        layer: with its adapter, if it has one.
        weight_of: makes the weight.
    """

    def __init__(self, layer: Any, weight_of: WeightOf) -> None:
        super().__init__()
        self.layer, self._weight_of = layer, weight_of

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The layer's outputs with the other weight.

        Args:
            inputs: (…, inputs).
        """
        plain, weight = plain_layer(self.layer), self._weight_of(self.layer)
        by_output = weight.T if isinstance(plain, Conv1D) else weight
        return nn.functional.linear(inputs, by_output.to(inputs.dtype), plain.bias)


def with_weights(
    model: PreTrainedModel, weight_of: WeightOf, changes: Callable[[Any], bool] | None = None
) -> PreTrainedModel:
    """A model with other weights in its linear layers, over the same memory.

    The head, which is read by itself too, gets a weight of its own; an input embedding that is
    tied to it goes with it, unless the head has an adapter, which must not reach the embedding.

    Args:
        model: left as it is.
        weight_of: makes the weight of each linear layer.
        changes: which layers besides the head get another weight; None for all of them.
    """
    view = shared_view(model)
    head_name, head = head_of(view)
    inputs: Any = view.get_input_embeddings()
    for name, layer in list(linear_layers(view)):
        if name != head_name and (changes is None or changes(layer)):
            view.set_submodule(name, LinearAtUse(layer, weight_of))
    plain = plain_layer(head)
    tied = plain is head and plain.weight is inputs.weight
    weight = nn.Parameter(weight_of(head), requires_grad=False)
    if tied:
        inputs.weight = weight
    plain.weight = weight
    view.set_submodule(head_name, plain)
    return view


def rounded_at_use(model: PreTrainedModel) -> PreTrainedModel:
    """A model as `round_weights` leaves it, its adapters merged before.

    Args:
        model: left as it is.
    """

    def weight_of(layer: Any) -> torch.Tensor:
        weight = merged_weight(layer)
        return rounded(weight.T).T if isinstance(plain_layer(layer), Conv1D) else rounded(weight)

    return with_weights(model, weight_of)


def merged_at_use(model: PreTrainedModel, share: float) -> PreTrainedModel:
    """A model with a share of its adapters merged, which is a merge of it and its base.

    Args:
        model: left as it is.
        share: of the adapters.
    """
    return with_weights(
        model,
        lambda layer: merged_weight(layer, share),
        changes=lambda layer: lora_factors(layer) is not None,
    )
