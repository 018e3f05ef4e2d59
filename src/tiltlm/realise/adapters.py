"""LoRA adapters for tilts: which parameters a target needs, and an edit written as an adapter."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tiltlm.contexts.reference import Reference
from tiltlm.errors import ConfigError
from tiltlm.models.structure import head_of
from tiltlm.realise.head_edit import HeadEdit, ridge_direction
from tiltlm.targets.target import BoundTarget

Parameters = Literal["head", "body+head", "full"]


PARAMETERS: tuple[Parameters, ...] = ("head", "body+head", "full")


HEAD_RANK, BODY_RANK = 4, 8


FIRST_ROW = 40.0
"""Adam moves a weight by at most the learning rate a step, so a run of 60 cosine steps at 3e-3
reaches 0.09: times 40 that is a shift of 3.6 nats."""


def parameters_for(target: BoundTarget) -> Parameters:
    """Which parameters a target needs.

    A class of tokens that is the same everywhere lies mostly outside the column space of the
    head, so the body cannot move it and the head can. What depends on the text so far only the
    body knows. A target that is no change of the reference at all needs every weight.
    """
    if not target.needs_reference:
        return "full"
    return "body+head" if target.depends_on_context else "head"


def as_adapter(model: PreTrainedModel, edit: HeadEdit) -> PeftModel:
    """The edit as a LoRA adapter on the head; the model's own weights stay as they are."""
    rank = len(edit.masks)
    adapted = _with_lora(model, [edit.head], rank)
    fill(adapted, edit)
    return adapted


def fill(adapted: PeftModel, edit: HeadEdit) -> None:
    """Write an edit into a head adapter of at least its rank; the rest of the adapter is kept."""
    layer = lora_layer(adapted)
    rank = len(edit.masks)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    scaling = layer.scaling["default"]
    with torch.no_grad():
        down[:rank] = edit.directions.to(down)
        up[:, :rank] = edit.masks.T.to(up) / scaling


def point_at_every_context(adapted: PeftModel, reference: Reference) -> None:
    """Let the head's adapter begin at the one direction in which all contexts look alike.

    The first row of A becomes `FIRST_ROW`·u, with u·h ≈ 1 in every context (least squares), so
    that the matching column of B shifts each token alike everywhere from the first step on. From
    random rows gradient descent must find u first, which takes most of a short run.
    """
    hidden = torch.cat(reference.hidden).double()
    ones = torch.ones(len(hidden), dtype=torch.float64)
    direction = ridge_direction(hidden, ones, ones)
    down = lora_layer(adapted).lora_A["default"].weight
    with torch.no_grad():
        down[0] = FIRST_ROW * direction.to(down)


def lora_layer(adapted: PeftModel) -> Any:
    """The head's LoRA layer."""
    return adapted.get_base_model().get_output_embeddings()  # type: ignore[operator]


def with_lora(model: PreTrainedModel, parameters: Parameters, at_least: int = 1) -> PeftModel:
    """Adapters that begin as no change, on the head alone or on all linear layers.

    Args:
        model: what they are put into.
        parameters: ``head`` or ``body+head``.
        at_least: their rank, where the usual one is smaller.

    Raises:
        ConfigError: there is no adapter for these parameters.
    """
    name, head = head_of(model)
    if parameters == "head":
        return _with_lora(model, [name], max(HEAD_RANK, at_least))
    if parameters == "body+head":
        names = [
            n
            for n, m in model.named_modules()
            if isinstance(m, nn.Linear | Conv1D) and m is not head
        ]
        return _with_lora(model, [*names, name], max(BODY_RANK, at_least))
    raise ConfigError(f"no adapter for parameters {parameters!r}", fix="head or body+head")


def _with_lora(model: PreTrainedModel, names: list[str], rank: int) -> PeftModel:
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=names, task_type="CAUSAL_LM", lora_dropout=0.0
    )
    with warnings.catch_warnings():
        # Told that head and embedding share a weight: the adapter adds to the head's output only.
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted
