"""LoRA adapters for tilts: which parameters a target needs, and an edit written as an adapter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tiltlm.contexts.reference import Reference
from tiltlm.errors import ConfigError
from tiltlm.models.placement import float64_device
from tiltlm.models.structure import head_of
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.regression import ridge_direction
from tiltlm.recipes.training import Parameters
from tiltlm.targets.bound import BoundTarget

HEAD_RANK, BODY_RANK = 4, 8
"""Rank of adapters on the head alone, and of those on body and head."""

CONSTANT_ROW_SCALE = 40.0
"""Scale of the constant direction in the head's adapter.

Adam moves a weight by at most the learning rate a step, so a run of 60 cosine steps at 3e-3 reaches
0.09: times 40 that is a shift of 3.6 nats.
"""


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
    """Put an edit into a model as a LoRA adapter on its head.

    Args:
        model: whose own weights stay as they are.
        edit: of its head.

    Returns:
        the model with the adapter, of the edit's rank.
    """
    rank = len(edit.masks)
    adapted = _with_lora_on(model, [edit.head], rank)
    write_edit(adapted, edit)
    return adapted


def write_edit(adapted: PeftModel, edit: HeadEdit) -> None:
    """Write an edit into the adapter of a head.

    Args:
        adapted: whose head has an adapter of at least the edit's rank; rows of the adapter beyond
            that rank are left as they are.
        edit: of that head.
    """
    layer = lora_layer(adapted)
    rank = len(edit.masks)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    scaling = layer.scaling["default"]
    with torch.no_grad():
        down[:rank] = edit.directions.to(down)
        up[:, :rank] = edit.masks.T.to(up) / scaling


def constant_direction(reference: Reference) -> torch.Tensor:
    """The direction u with h·u ≈ 1 at every position, by least squares.

    Args:
        reference: whose hidden states h are.

    Returns:
        (D,) float64, on the processor.
    """
    ones = torch.ones(sum(map(len, reference.hidden)), dtype=torch.float64)
    return ridge_direction(reference.hidden, ones, ones, float64_device(reference.head.weight))


def start_from_constant_direction(adapted: PeftModel, reference: Reference) -> None:
    """Let the head's adapter begin at the one direction in which all contexts look alike.

    The first row of A becomes `CONSTANT_ROW_SCALE`·u, with u of `constant_direction`, so that the
    matching column of B shifts each token alike everywhere from the first step on. From random rows
    gradient descent must find u first, which takes most of a short run.

    Args:
        adapted: whose head has an adapter.
        reference: at the fitting contexts.
    """
    direction = constant_direction(reference)
    down = lora_layer(adapted).lora_A["default"].weight
    with torch.no_grad():
        down[0] = CONSTANT_ROW_SCALE * direction.to(down)


def lora_layer(adapted: PeftModel) -> Any:
    """The LoRA layer around a model's head."""
    return adapted.get_base_model().get_output_embeddings()  # type: ignore[operator]


def with_lora(
    model: PreTrainedModel,
    parameters: Parameters,
    at_least: int = 1,
    *,
    within: Sequence[nn.Module] = (),
) -> PeftModel:
    """Put adapters into a model that begin as no change, on the head alone or on all linear layers.

    Args:
        model: whose own weights stay as they are.
        parameters: ``head`` or ``body+head``.
        at_least: rank of the adapters, where the usual one is smaller.
        within: modules of the body, to which adapters on it are confined; none for all of it.

    Raises:
        ConfigError: there is no adapter for these parameters.
    """
    name, head = head_of(model)
    if parameters == "head":
        return _with_lora_on(model, [name], max(HEAD_RANK, at_least))
    if parameters == "body+head":
        allowed = {id(m) for part in within or [model] for m in part.modules()} - {id(head)}
        names = [
            n
            for n, m in model.named_modules()
            if isinstance(m, nn.Linear | Conv1D) and id(m) in allowed
        ]
        return _with_lora_on(model, [*names, name], max(BODY_RANK, at_least))
    raise ConfigError(f"no adapter for parameters {parameters!r}", fix="head or body+head")


def _with_lora_on(model: PreTrainedModel, names: list[str], rank: int) -> PeftModel:
    """Put adapters of one rank on the modules of these names; their scaling is 1."""
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=names, task_type="CAUSAL_LM", lora_dropout=0.0
    )
    with warnings.catch_warnings():
        # peft warns that head and embedding share a weight, which does no harm here: the adapter
        # adds to the head's output only.
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted
