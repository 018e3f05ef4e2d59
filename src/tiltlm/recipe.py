"""Recipes: what a run does, as YAML that is checked before anything is done.

Knows the form of a recipe and where the shipped ones lie; imports no torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tiltlm.errors import ConfigError


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
    divergence: Literal["forward_kl", "reverse_kl", "jensen_shannon"] = "forward_kl"
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    max_grad_norm: float = Field(default=0.0, ge=0, description="0: no clipping")
    save_every: int = Field(
        default=0, ge=0, description="steps between checkpoints; 0: only on Ctrl-C"
    )


class TestPart(_Part):
    """How the model is measured, before and after."""

    __test__ = False  # no test, though pytest would think so

    sequences: int = Field(default=1, ge=1)
    prompt_tokens: int = Field(default=256, ge=1, description="random tokens to begin with")
    new_tokens: int = Field(default=200, ge=1, description="tokens generated a sequence")
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    top_k: int = Field(default=0, ge=0, description="0: all tokens")
    top_p: float = Field(default=1.0, gt=0, le=1)
    held_out_contexts: int = Field(default=8, ge=1)
    held_out_tokens: int = Field(default=256, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "float32"


class Recipe(_Part):
    """A whole experiment: model, target, contexts, training, test."""

    description: str = ""
    model: ModelPart
    target: str = Field(description="as on the command line: uniform(contains('x'))")
    contexts: ContextsPart = ContextsPart()
    train: TrainPart
    test: TestPart = TestPart()

    def to_yaml(self) -> str:
        """The recipe as a file that can be run again."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True, width=100)


def list_recipes() -> dict[str, str]:
    """Names of the shipped recipes, with one line each on what they do."""
    folder = resources.files("tiltlm").joinpath("recipes")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): load_recipe(name[:-5]).description for name in names}


def read_recipe(name: str) -> tuple[str, str]:
    """The text of a recipe, and where it stands.

    Args:
        name: of a shipped recipe, or the path of a YAML file.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    shipped = resources.files("tiltlm").joinpath("recipes", f"{name}.yaml")
    if "/" not in name and "\\" not in name and shipped.is_file():
        return shipped.read_text(encoding="utf-8"), f"recipe {name}"
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the recipe: {error}", where=str(path)) from None
    known = sorted(
        item.name.removesuffix(".yaml")
        for item in resources.files("tiltlm").joinpath("recipes").iterdir()
        if item.name.endswith(".yaml")
    )
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"no such recipe: {name!r}", fix=f"{hint}known: {', '.join(known)}; or name a .yaml file"
    )


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
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError(f"the recipe is no YAML: {problem}", where=where + line) from None
    if not isinstance(data, dict):
        raise ConfigError("a recipe is a mapping with model, target and train", where=where)
    places = {path: f"{where}, line {line}" for path, line in _lines(node).items()}
    for override in overrides:
        path, value = _read_override(override)
        _assign(data, path, value, override)
        places[path] = f"--set {override}"
    return _validate(data, places, where)


def _validate(data: dict[str, Any], places: dict[tuple[str, ...], str], where: str) -> Recipe:
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = tuple(str(step) for step in first["loc"])
        place = next(
            (places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), where
        )
        key = ".".join(path)
        fix = None
        if first["type"] == "extra_forbidden":
            known = _known_keys(path[:-1])
            near = difflib.get_close_matches(path[-1], known, n=1)
            what = f"unknown key {key!r}"
            fix = (f"did you mean {near[0]}? " if near else "") + "known: " + ", ".join(known)
        elif first["type"] == "missing":
            what = f"{key!r} is missing"
        else:
            what = f"{key!r} is {first['input']!r}: {first['msg'].lower()}"
        raise ConfigError(what, where=place, fix=fix) from None


def _known_keys(path: tuple[str, ...]) -> list[str]:
    part: Any = Recipe
    for step in path:
        part = part.model_fields[step].annotation
    return list(part.model_fields)


def _lines(node: yaml.Node | None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner in found:
                raise ConfigError(
                    f"the key {'.'.join(inner)!r} stands twice",
                    where=f"line {key.start_mark.line + 1}",
                )
            found[inner] = key.start_mark.line + 1
            found |= _lines(value, inner)
    return found


def _read_override(override: str) -> tuple[tuple[str, ...], Any]:
    key, sign, value = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set takes key=value, not {override!r}", fix="--set train.steps=50, for example"
        )
    path = tuple(key.strip().split("."))
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return path, value
    # weights({'a': 1}) is an expression, though YAML sees a mapping in it.
    is_text = isinstance(read, dict | list) and not value.lstrip().startswith(("{", "["))
    return path, value if is_text else read


def _assign(data: dict[str, Any], path: tuple[str, ...], value: Any, override: str) -> None:
    for step in path[:-1]:
        data = data.setdefault(step, {})
        if not isinstance(data, dict):
            raise ConfigError(f"{step!r} holds a value, no keys", where=f"--set {override}")
    data[path[-1]] = value
