"""A model whose tilt was taken back, before it is proved and saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel

from tiltlm.models.loading import LoadedModel
from tiltlm.records.undo import SharePoint, UndoBy
from tiltlm.targets.bound import BoundTarget


@dataclass(frozen=True)
class Undone:
    """What a way of undoing made.

    Attributes:
        by: the way.
        model: whole weights; for decode the tilted model as it was.
        sentence: what was done, in words.
        correction: for decode, what the model's distribution is turned into; else None.
        details: what the way says of itself, as JSON can write it.
        curve: for interpolate, every mixture that was looked at.
        changed: for label, the tensors that differed from the base's.
    """

    by: UndoBy
    model: LoadedModel
    sentence: str
    correction: BoundTarget | None = None
    details: dict[str, Any] = field(default_factory=dict)
    curve: tuple[SharePoint, ...] = ()
    changed: tuple[str, ...] = ()


def with_model(loaded: LoadedModel, model: PreTrainedModel) -> LoadedModel:
    """Other weights under the same tokenizer; they have no name of their own.

    Args:
        loaded: with the tokenizer.
        model: the weights.
    """
    return LoadedModel(model.eval(), loaded.tokenizer)
