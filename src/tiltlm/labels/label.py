"""The label inside every saved model: it was tilted on purpose, how, from what, and how far.

It lies beside the weights as `tilt.json`, for programs, and as a model card, for people.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tiltlm.errors import ConfigError
from tiltlm.records.base import Interval, Record
from tiltlm.records.tilt import By

FILE = "tilt.json"


class LabelBase(Record):
    """The model that was tilted."""

    name: str = Field(description="as `tiltlm.load` takes it")
    sha256: str | None = Field(description="over its weights; null where they were drawn by seed")
    hub_name: str | None = Field(default=None, description="as the Hub knows it, if it does")
    seed: int | None = Field(default=None, description="of the weights of Model 5")
    config: dict[str, Any] = Field(
        default_factory=dict, description="fields of Model 5 that differ from the article's"
    )


class LabelFigure(Record):
    """A measured figure."""

    value: float
    interval: Interval | None = Field(description="95 %; null where the units show no spread")
    unit: str = Field(description="probability, nats a token, or share")
    over: str = Field(description="the units of replication, and how many")


class Label(Record):
    """What was done to a model, and what came of it."""

    schema_version: Literal[2] = 2
    tilted_on_purpose: Literal[True] = True
    target: str = Field(description="as `parse_target` reads it")
    sentence: str = Field(description="the target in words")
    events: list[str] = Field(description="as `parse_event` reads them")
    strengths: list[float] | None = Field(
        description="one an event, in nats, of a tilt or a fitted match; else null"
    )
    by: By
    form: Literal["model", "adapter", "processor"] = Field(
        description="whole weights, a peft adapter, or no weights at all"
    )
    base: LabelBase
    contexts: str = Field(description="where it was fitted and measured")
    seed: int = Field(description="of contexts, draws and training")
    measured: dict[str, LabelFigure] | None = Field(description="null until it was measured")
    versions: dict[str, str]
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
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.get("schema_version") if isinstance(found, dict) else None
        return Label.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"the label is damaged: {where}: {first['msg']}"
        if version not in (None, 2):
            what = f"the label is of another version of tiltlm (schema {version!r})"
    except (OSError, ValueError):
        what = "the label is damaged: it is no JSON"
    raise ConfigError(what, where=str(path), fix="take the label away, or make the model anew")


def find_label(model: str) -> tuple[str, Label | None]:
    """The folder that holds a model's weights, and its label.

    Args:
        model: a folder of ``tiltlm tilt`` or ``tiltlm run``, the folder inside it that holds the
            weights, or any other name of a model.

    Returns:
        the folder and its label; ``model`` itself and None where there is no label.

    Raises:
        ConfigError: as for `read_label`.
    """
    for folder in (Path(model), Path(model) / "model"):
        label = read_label(folder)
        if label is not None:
            return str(folder), label
    return model, None
