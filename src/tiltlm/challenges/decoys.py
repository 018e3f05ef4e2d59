"""Benign changes of kinds that no null pack makes, so that no auditor was calibrated on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import head_of
from tiltlm.records.challenge import DecoyKind
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.treatment import own_copy

STEPS = (8, 24)
"""Least and most steps of a decoy's training."""

RATE = 0.03
"""Learning rate of a decoy's training, over the model's width."""

TEMPERATURES = (0.85, 1.15)
"""By which the logits of a model may be divided."""


def make_decoy(
    kind: DecoyKind, reference: LoadedModel, text: TokenContexts, seed: int
) -> LoadedModel:
    """A copy of the reference with a benign change.

    Args:
        kind: of change.
        reference: left as it is; its head does not share the embedding's weight.
        text: to train on.
        seed: of all that is drawn.
    """
    model = own_copy(reference)
    draws = np.random.default_rng(seed)
    if kind == "cast":
        _cast(model)
    elif kind == "temperature":
        with torch.no_grad():
            head_of(model)[1].weight.div_(float(draws.uniform(*TEMPERATURES)))
    elif kind == "soup":
        model = _mean_of(_trained(own_copy(reference), "all", text, seed), model, text, seed)
    else:
        _trained(model, kind, text, seed)
    return LoadedModel(model.eval(), reference.tokenizer)


def _trained(model: Any, part: str, text: TokenContexts, seed: int) -> Any:
    """A model, a part of which was fine-tuned."""
    draws = np.random.default_rng([seed, 3])
    steps = int(draws.integers(STEPS[0], STEPS[1] + 1))
    layers = [name.split(".layers.")[-1].split(".h.")[-1] for name, _ in model.named_parameters()]
    last = max((int(n.split(".")[0]) for n in layers if n.split(".")[0].isdecimal()), default=0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_is_of(part, name, parameter, last))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        model.requires_grad_(True)
    rate = RATE / model.config.get_text_config().hidden_size
    fine_tune(model, text, [steps], seed, learning_rate=rate)
    return model.requires_grad_(True)


def _is_of(part: str, name: str, parameter: torch.Tensor, last: int) -> bool:
    """Whether a parameter is of a part of its model."""
    if part == "norms":
        return parameter.dim() == 1
    if part == "embedding":
        return "embed_tokens" in name or "wte" in name
    if part == "last layer":
        return f".{last}." in name
    return True


def _mean_of(first: Any, model: Any, text: TokenContexts, seed: int) -> Any:
    """The mean of two models that were trained in other orders."""
    second = _trained(model, "all", text, seed + 1)
    with torch.no_grad():
        for one, other in zip(first.parameters(), second.parameters(), strict=True):
            one.add_(other).div_(2)
    return first


def _cast(model: Any) -> None:
    """Take the weights through bfloat16 and back."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).to(parameter.dtype))
