"""The label inside every saved model: it was tilted on purpose, how, from what, and how far.

The label lies beside the weights as ``tilt.json``, for programs, and as a model card, for people.
Here are the record and how it is read; `labels.card` writes it. Knows nothing of models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tiltlm.errors import ConfigError
from tiltlm.labels.older import OLDEST, upgraded
from tiltlm.labels.step import LabelBase, LabelFigure, Step
from tiltlm.reading import can_be_path, read_json
from tiltlm.records.base import PlacementRecord, Record
from tiltlm.records.tilt import By

FILE = "tilt.json"
"""Name of the label's file, in the folder that holds the weights or the adapter."""

_SCHEMA: Literal[3] = 3


class Label(Record):
    """What was done to a model, and what came of it."""

    schema_version: Literal[3] = _SCHEMA
    tilted_on_purpose: Literal[True] = Field(default=True, description="what every label says")
    undone: bool = Field(default=False, description="whether the tilt was taken back since")
    target: str = Field(description="as `parse_target` reads it")
    sentence: str = Field(description="the target in words")
    events: list[str] = Field(description="as `parse_event` reads them")
    strengths: list[float] | None = Field(
        description="one an event, in nats, of a tilt or a fitted match; else null"
    )
    by: By = Field(description="how the target was realised")
    form: Literal["model", "adapter", "processor"] = Field(
        description="whole weights, a peft adapter, or no weights at all"
    )
    base: LabelBase = Field(description="the model that was tilted")
    contexts: str = Field(description="where the target was fitted and the figures were measured")
    seed: int = Field(description="of contexts, draws and training")
    measured: dict[str, LabelFigure] | None = Field(description="null until it was measured")
    placement: PlacementRecord | None = Field(
        default=None, description="of the model while this was done"
    )
    versions: dict[str, str] = Field(description="of tiltlm and of what it computes with")
    chain: list[Step] = Field(
        default_factory=list, description="all that was done to the model, oldest first"
    )
    digest: str | None = Field(
        default=None, description="SHA-256 over all else that the label says; null until written"
    )


def read_label(folder: Path) -> Label | None:
    """The label in a folder, None where it has none. Labels of older versions are read too.

    Args:
        folder: that holds weights, an adapter, or what decoding needs.

    Raises:
        ConfigError: the label is damaged, or of a version of tiltlm that this one does not know.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        data = read_json(path)
    except OSError as error:
        reason = f"the label cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        reason = f"the label is damaged: it is no JSON ({str(error)[:100]})"
    else:
        try:
            return Label.model_validate(upgraded(data, _SCHEMA))
        except ValidationError as error:
            reason = _invalid(data, error)
    raise ConfigError(reason, where=str(path), fix="take the label away, or make the model anew")


def _invalid(data: object, error: ValidationError) -> str:
    """Why JSON is no label, in one sentence."""
    version: Any = data.get("schema_version", _SCHEMA) if isinstance(data, dict) else _SCHEMA
    if version not in range(OLDEST, _SCHEMA + 1):
        return f"the label is of another version of tiltlm (schema {str(version)[:20]})"
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))[:200]
    return f"the label is damaged: {key + ': ' if key else ''}{first['msg']}"


def find_label(model: str) -> tuple[str, Label | None]:
    """The folder that holds a model's weights, and its label.

    Args:
        model: a folder of ``tiltlm tilt`` or ``tiltlm run``, the folder inside it that holds the
            weights, or any other name of a model.

    Returns:
        the folder and its label; ``model`` itself and None where there is no label.

    Raises:
        ConfigError: a label is damaged, or of another version of tiltlm.
    """
    if not can_be_path(model):
        return model, None
    for folder in (Path(model), Path(model) / "model"):
        label = read_label(folder)
        if label is not None:
            return str(folder), label
    return model, None
