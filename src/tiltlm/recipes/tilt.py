r"""What `tiltlm tilt` does, as a YAML file: model, target, and how.

>>> text = "model: smollm2\ntarget: tilt(contains('x'), 1)\nby: train\ntraining: {steps: 30}\n"
>>> read_settings(TiltRecipe, text, "tilt.yaml").training.steps
30
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tiltlm.errors import ConfigError
from tiltlm.recipes.settings import read_file, read_settings


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingPart(_Part):
    """Fields of `Training`; what is left out follows from the target."""

    parameters: Literal["head", "body+head", "full"] | None = None
    steps: int | None = Field(default=None, ge=1)
    batch: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    start: Literal["base", "edit"] | None = None
    trigger_steps: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    divergence: Literal["forward_kl", "reverse_kl", "jensen_shannon"] | None = None


class TiltRecipe(_Part):
    """One tilt."""

    model: str
    target: str = Field(description="as on the command line: tilt(contains('x'), 1.0)")
    by: Literal["edit", "train", "decode"] = "edit"
    contexts: str | None = None
    merge: bool = False
    seed: int = Field(default=0, ge=0)
    training: TrainingPart = TrainingPart()


def recipe_of(model: str, options: Mapping[str, Any], training: Mapping[str, Any]) -> TiltRecipe:
    """A tilt from a model and options, or from a YAML file with options that change it.

    Args:
        model: a name for `load`, or the path of a file with a `TiltRecipe`.
        options: its fields; None leaves them as they are.
        training: the same for those of its ``training``.

    Raises:
        ConfigError: the file cannot be read, a value does not fit, with its line or its option, or
            something of training was asked for where nothing is trained.
    """
    given = {k: v for k, v in options.items() if v is not None}
    trained = {k: v for k, v in training.items() if v is not None}
    given |= {f"training.{k}": v for k, v in trained.items()}
    text, from_file = yaml.safe_dump({"model": model}), model.endswith((".yaml", ".yml"))
    if not from_file and "target" not in given:
        raise ConfigError(
            "there is no target",
            where="command line",
            fix="--target \"tilt(contains('x'), 1)\", say",
        )
    if from_file:
        text = read_file(Path(model))
    # Values go through YAML like those of the file, so they are written as JSON.
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]
    recipe = read_settings(TiltRecipe, text, model, overrides, option="--")
    if recipe.by != "train" and trained:
        raise ConfigError(
            f"nothing is trained by {recipe.by}",
            where=", ".join(f"--{name}" for name in trained),
            fix="--by train, or leave it out",
        )
    return recipe


def raw_recipe(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same before it is checked, for `sweep`, which fills in what varies.

    Raises:
        ConfigError: the file cannot be read or is no mapping.
    """
    data: Any = {"model": model}
    if model.endswith((".yaml", ".yml")):
        try:
            data = yaml.safe_load(read_file(Path(model)))
        except yaml.YAMLError as error:
            raise ConfigError(f"this is no YAML: {error}", where=model) from None
        if not isinstance(data, dict):
            raise ConfigError("this is no mapping", where=model)
    found: dict[str, Any] = data | {k: v for k, v in options.items() if v is not None}
    return found
