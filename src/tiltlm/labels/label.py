"""The label inside every saved model: it was tilted on purpose, how, from what, and how far.

The label lies beside the weights as ``tilt.json``, for programs, and as a model card, for people.
Here are the record and how it is read; `labels.card` writes it. Knows nothing of models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from tiltlm.errors import ConfigError
from tiltlm.reading import can_be_path, read_json
from tiltlm.records.base import HeldDtype, Interval, PlacementRecord, Record
from tiltlm.records.tilt import By

FILE = "tilt.json"
"""Name of the label's file, in the folder that holds the weights or the adapter."""

_SCHEMA: Literal[2] = 2


class LabelBase(Record):
    """The model that was tilted: how it is loaded again, and how it is told from others."""

    name: str = Field(description="as `tiltlm.load` takes it")
    sha256: str | None = Field(description="over its weights; null where they were drawn by seed")
    hub_name: str | None = Field(default=None, description="as the Hub knows it, if it does")
    seed: int | None = Field(default=None, description="of the weights of Model 5")
    dtype: HeldDtype | None = Field(
        default=None, description="in which its weights were held; null where nobody said"
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="fields of Model 5 that differ from the article's"
    )

    @field_validator("name")
    @classmethod
    def _can_be_one(cls, name: str) -> str:
        if not can_be_path(name) or not name.isprintable():
            raise ValueError("no model can have this name")
        return name


class LabelFigure(Record):
    """A figure that was measured on the tilted model."""

    value: float = Field(description="the mean, in the unit below")
    interval: Interval | None = Field(description="95 %; null where the units show no spread")
    unit: str = Field(description="probability, nats a token, or share")
    over: str = Field(description="the units of replication, and how many")


class Label(Record):
    """What was done to a model, and what came of it."""

    schema_version: Literal[2] = _SCHEMA
    tilted_on_purpose: Literal[True] = Field(default=True, description="what every label says")
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
    history: list[Label] = Field(
        default_factory=list, description="what was done before this, oldest first"
    )


def read_label(folder: Path) -> Label | None:
    """The label in a folder, None where it has none.

    Args:
        folder: that holds weights, an adapter, or what decoding needs.

    Raises:
        ConfigError: the label is damaged, or of another version of tiltlm.
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
            return Label.model_validate(data)
        except ValidationError as error:
            reason = _invalid(data, error)
    raise ConfigError(reason, where=str(path), fix="take the label away, or make the model anew")


def _invalid(data: object, error: ValidationError) -> str:
    """Why JSON is no label, in one sentence."""
    version = data.get("schema_version", _SCHEMA) if isinstance(data, dict) else _SCHEMA
    if version != _SCHEMA:
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
