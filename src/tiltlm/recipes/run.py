"""What `tiltlm run` does, as a YAML file: model, target, contexts, training, test.

Knows the form of such a recipe and where the shipped ones lie, nothing of how it is carried out.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tiltlm.errors import ConfigError
from tiltlm.recipes.placement import Placement
from tiltlm.recipes.settings import read_file, read_settings


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPart(_Part):
    """Which model is trained."""

    name: str = Field(description="model5, a folder, or a name on the Hub")
    config: dict[str, Any] = Field(default={}, description="fields of Model5Config that differ")


class ContextsPart(_Part):
    """Where the target should hold while training."""

    kind: Literal["random"] = Field(default="random", description="uniform random tokens")
    length: int = Field(default=256, ge=1, description="tokens a context")


class TrainPart(_Part):
    """How the model is trained."""

    steps: int = Field(ge=1, description="updates of the weights")
    batch: int = Field(ge=1, description="contexts a step")
    gradient_accumulation: int = Field(
        default=1, ge=1, description="parts that a step's contexts are computed in"
    )
    positions: Literal["last", "all"] = Field(default="all", description="where the loss is taken")
    divergence: Literal["forward_kl", "reverse_kl", "jensen_shannon"] = Field(
        default="forward_kl", description="what the loss is, between target and model"
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        default="adamw", description="what makes steps of gradients"
    )
    learning_rate: float = Field(gt=0, allow_inf_nan=False, description="of the optimizer, at peak")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="of the optimizer"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="how the learning rate goes on after the warm-up"
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="steps in which the learning rate rises to its peak"
    )
    max_grad_norm: float = Field(
        default=0.0, ge=0, description="norm that gradients are clipped to; 0: no clipping"
    )
    save_every: int = Field(
        default=0, ge=0, description="steps between checkpoints; 0: only on Ctrl-C"
    )


class TestPart(_Part):
    """How the model is measured, before and after."""

    __test__ = False  # pytest would collect the class by its name

    sequences: int = Field(default=1, ge=1, description="sequences generated")
    prompt_tokens: int = Field(default=256, ge=1, description="random tokens to begin with")
    new_tokens: int = Field(default=200, ge=1, description="tokens generated a sequence")
    temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="that tokens are drawn at"
    )
    top_k: int = Field(
        default=0, ge=0, description="likeliest tokens that are drawn from; 0: all tokens"
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="probability of the tokens drawn from; 1: all tokens"
    )
    held_out_contexts: int = Field(
        default=8, ge=1, description="random contexts at which event mass and KL are measured"
    )
    held_out_tokens: int = Field(default=256, ge=1, description="tokens of each")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="float32", description="of the model while it is measured"
    )


class Recipe(_Part):
    """A whole experiment: model, target, contexts, training, test."""

    description: str = Field(default="", description="one line on what the recipe does")
    model: ModelPart = Field(description="which model is trained")
    placement: Placement = Field(
        default=Placement(), description="device and precision of the model"
    )
    target: str = Field(description="as on the command line: uniform(contains('x'))")
    contexts: ContextsPart = Field(
        default=ContextsPart(), description="where the target should hold"
    )
    train: TrainPart = Field(description="how the model is trained")
    test: TestPart = Field(default=TestPart(), description="how it is measured")

    def to_yaml(self) -> str:
        """The recipe as a file that can be run again."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True, width=100)


def list_recipes() -> dict[str, str]:
    """The names of the shipped recipes, in order, with one line each on what they do."""
    return {name: load_recipe(name).description for name in _shipped_names()}


def read_recipe(name: str) -> tuple[str, str]:
    """Read the text of a recipe.

    Args:
        name: of a shipped recipe, or the path of a YAML file.

    Returns:
        the text, and where it stands, for errors.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    shipped = resources.files("tiltlm").joinpath("recipes", f"{name}.yaml")
    if "/" not in name and "\\" not in name and shipped.is_file():
        return shipped.read_text(encoding="utf-8"), f"recipe {name}"
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_file(path), str(path)
    known = _shipped_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"no such recipe: {name!r}", fix=f"{hint}known: {', '.join(known)}; or name a .yaml file"
    )


def _shipped_names() -> list[str]:
    folder = resources.files("tiltlm").joinpath("recipes")
    files = (item.name for item in folder.iterdir())
    return sorted(file.removesuffix(".yaml") for file in files if file.endswith(".yaml"))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        name: of a shipped recipe, or the path of a YAML file.
        overrides: ``key=value`` with dots between levels, ``train.steps=50``.

    Raises:
        ConfigError: no such recipe, broken YAML, an unknown key, a value that does not fit; says
            in which line, or in which override.
    """
    text, where = read_recipe(name)
    return read_settings(Recipe, text, where, overrides)
