"""A run's folder: what lies where, whose it is, and what is still to be done.

recipe.yaml     the recipe as it is run, with the seed; written first
stages/         what finished stages left (before.json, training.json, …), for a resumed run
checkpoints/    while the run trains
tensorboard/    the curves
model/          the tilted model, with its label tilt.json and its model card
samples.jsonl   generated tokens, before and after training
result.json     the record; written last, so its presence means that the run is finished
report.html     the page

``stages`` and ``checkpoints`` are removed when the run is finished.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tiltlm.errors import RunError
from tiltlm.files import remove, remove_leftovers, write_json, write_text
from tiltlm.recipes.run import Recipe


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run, and its stages.

    Attributes:
        path: of the folder itself.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The file with the recipe and the seed."""
        return self.path / "recipe.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of the trainer's checkpoints."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def model(self) -> Path:
        """The folder of the tilted model."""
        return self.path / "model"

    @property
    def samples(self) -> Path:
        """The file of generated tokens."""
        return self.path / "samples.jsonl"

    @property
    def result(self) -> Path:
        """The file of the record."""
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        """The file of the page."""
        return self.path / "report.html"

    def read_stage(self, name: str) -> dict[str, Any] | None:
        """What a finished stage left; None if it is not finished.

        Args:
            name: of the stage, such as ``before``.

        Raises:
            RunError: the stage's file is no JSON.
        """
        path = self.path / "stages" / f"{name}.json"
        if not path.is_file():
            return None
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise RunError(
                f"the stage {name!r} is damaged", where=str(path), fix="delete this file"
            ) from None
        return data

    def write_stage(self, name: str, data: dict[str, Any]) -> None:
        """Keep what a finished stage leaves.

        Args:
            name: of the stage.
            data: what JSON can hold.
        """
        write_json(self.path / "stages" / f"{name}.json", data)

    def clean_up(self) -> None:
        """Remove checkpoints and stages, which only an unfinished run needs."""
        remove(self.checkpoints)
        remove(self.path / "stages")


_MAY_CHANGE = ("placement.", "train.gradient_accumulation")
"""Keys of a recipe that may be others when a run is resumed: where it is computed, and in how many
parts. What it computes is the same, but for rounding."""


def open_run(out: Path, recipe: Recipe, seed: int, *, resume: bool) -> RunDirectory:
    """Make the folder of a new run, or find the one to resume.

    Args:
        out: the folder, which is claimed.
        recipe: what is to be run; it must be that of the run to be resumed.
        seed: likewise.
        resume: whether there should be an unfinished run.

    Raises:
        RunError: the folder holds another run, or something else, or nothing to resume.
    """
    run = RunDirectory(out)
    if out.is_dir():
        remove_leftovers(run.recipe)
    asked = {"seed": seed, **recipe.model_dump()}
    if out.exists() and not out.is_dir():
        raise RunError("--out is a file", where=str(out), fix="name a folder")
    if run.recipe.is_file():
        _check_same(run, asked, resume)
        remove_leftovers(out, within=True)
        return run
    if resume:
        raise RunError("there is no run to resume", where=str(out), fix="leave --resume out")
    if out.is_dir() and any(out.iterdir()):
        raise RunError(
            "the folder is not empty and holds no run of tiltlm; nothing in it was touched",
            where=str(out),
            fix="name a new folder with --out",
        )
    write_text(run.recipe, f"seed: {seed}\n" + recipe.to_yaml())
    return run


def _check_same(run: RunDirectory, asked: dict[str, Any], resume: bool) -> None:
    """Refuse to touch a run of another recipe, a finished one, or one that is not to be resumed."""
    state = "a finished run" if run.result.is_file() else "an unfinished run"
    try:
        written = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError):
        written = None
    if not isinstance(written, dict):
        raise RunError(
            "the run's recipe is damaged", where=str(run.recipe), fix="use another --out"
        )
    there, here = _flatten(written), _flatten(asked)
    differing = sorted(
        item for item in there.items() ^ here.items() if not item[0].startswith(_MAY_CHANGE)
    )
    if differing:
        key = differing[0][0]
        raise RunError(
            f"the folder holds {state} of another recipe: {key} is {there.get(key)} there, "
            f"{here.get(key)} here",
            where=str(run.path),
            fix="name another --out, or resume it with the recipe and seed that it began with",
        )
    if run.result.is_file():
        run.clean_up()  # A run may have been killed before it did so itself.
        raise RunError(
            "this run is finished",
            where=str(run.path),
            fix="name another --out; `tiltlm report` writes its page again",
        )
    if not resume:
        raise RunError(
            "the folder holds an unfinished run of this recipe",
            where=str(run.path),
            fix="go on with `tiltlm run … --resume`, or name another --out",
        )


def _flatten(data: Any, path: str = "") -> dict[str, str]:
    """Nested mappings as one, whose keys are paths such as ``train.steps``."""
    if isinstance(data, dict) and data:
        items = (_flatten(v, f"{path}.{k}" if path else str(k)) for k, v in data.items())
        return {key: value for item in items for key, value in item.items()}
    return {path: str(data)}
