"""What a model is made of, asked alike of every architecture: sizes, head, embedding."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


def vocabulary_size(model: PreTrainedModel) -> int:
    """Rows of the model's head, which may be a few more than its tokenizer has tokens."""
    return int(model.config.get_text_config().vocab_size)


def context_length(model: PreTrainedModel) -> int | None:
    """Tokens that the model can read at once; None where its config sets no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)


def head_of(model: nn.Module) -> tuple[str, Any]:
    """The output head.

    Returns:
        its dotted name in the model, and the module; under an adapter that is the adapter's layer.

    Raises:
        ModelError: the model has no linear head.
    """
    get_head: Any = model.get_output_embeddings
    head = get_head()
    for name, module in model.named_modules():
        if module is head and getattr(head, "weight", None) is not None:
            return name, module
    raise ModelError(
        "the model has no linear output head",
        where=type(model).__name__,
        fix="use tiltlm.decode(model, target), which needs none, with a target that is not fitted "
        "to contexts",
    )


def untie_head(model: PreTrainedModel) -> None:
    """Give the head a weight of its own where it shares the input embedding's.

    Args:
        model: changed in place, its config too.
    """
    from torch import nn

    _, head = head_of(model)
    head = getattr(head, "base_layer", head)  # under an adapter
    inputs: Any = model.get_input_embeddings()
    if head.weight is inputs.weight:
        head.weight = nn.Parameter(head.weight.detach().clone())
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        config.tie_word_embeddings = False


def input_device(model: PreTrainedModel) -> torch.device:
    """Where token ids go: the device of the input embedding, which may not be the head's."""
    embedding: Any = model.get_input_embeddings()
    device: torch.device = embedding.weight.device
    return device


def can_keep_logits(model: nn.Module) -> bool:
    """Whether the head can be applied to chosen positions only (``logits_to_keep``)."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
