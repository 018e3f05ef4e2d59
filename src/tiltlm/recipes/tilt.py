r"""What `tiltlm tilt` does, as a YAML file: model, target, and how.

Knows the form of such a recipe, nothing of how it is carried out.

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
from tiltlm.recipes.placement import Placement
from tiltlm.recipes.settings import read_file, read_settings
from tiltlm.recipes.training import Training


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TiltRecipe(_Part):
    """What one ``tiltlm tilt`` does."""

    model: str = Field(description="smollm2, a folder, a GGUF file, or a name on the Hub")
    target: str = Field(description="as on the command line: tilt(contains('x'), 1.0)")
    by: Literal["edit", "train", "decode"] = Field(
        default="edit", description="how the target is realised"
    )
    contexts: str | None = Field(
        default=None, description="where the target should hold: own, random, text:FILE, …"
    )
    merge: bool = Field(default=False, description="save a whole model, not an adapter")
    seed: int = Field(default=0, ge=0, description="of contexts, draws and training")
    training: Training = Field(default=Training(), description="used by train alone")
    placement: Placement = Field(
        default=Placement(), description="device and precision of the model"
    )


def recipe_of(model: str, options: Mapping[str, Any], training: Mapping[str, Any]) -> TiltRecipe:
    """A tilt from a model and options, or from a YAML file with options that change it.

    Args:
        model: a name for `load`, or the path of a file with a `TiltRecipe`.
        options: fields of a `TiltRecipe`; None leaves them as they are.
        training: fields of its ``training``; None leaves them as they are.

    Raises:
        ConfigError: the file cannot be read; there is no target; a value does not fit, told with
            its line or its option; or something of training was asked for where nothing is trained.
    """
    given = {k: v for k, v in options.items() if v is not None}
    given_training = {k: v for k, v in training.items() if v is not None}
    given |= {f"training.{k}": v for k, v in given_training.items()}
    text, from_file = yaml.safe_dump({"model": model}), model.endswith((".yaml", ".yml"))
    if not from_file and "target" not in given:
        raise ConfigError(
            "there is no target",
            where="command line",
            fix="--target \"tilt(contains('x'), 1)\", say",
        )
    if from_file:
        text = read_file(Path(model))
    # Values are read as YAML like those of the file; all JSON is YAML, so they are written as JSON.
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]
    recipe = read_settings(TiltRecipe, text, model, overrides, option="--")
    if recipe.by != "train" and given_training:
        raise ConfigError(
            f"nothing is trained by {recipe.by}",
            where=", ".join(f"--{name}" for name in given_training),
            fix="--by train, or leave it out",
        )
    if recipe.by == "decode" and recipe.merge:
        raise ConfigError(
            "by decode there are no weights to merge",
            where="--merge",
            fix="leave it out, or --by edit",
        )
    return recipe


def raw_recipe(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A tilt that is not checked yet, for a sweep, which fills in what varies.

    Args:
        model: a name for `load`, or the path of a file with a `TiltRecipe`.
        options: fields of a `TiltRecipe` that take the place of the file's; None leaves them.

    Returns:
        fields of a `TiltRecipe` as they were written.

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
    given = {k: v for k, v in options.items() if v is not None}
    return {**data, **given}
