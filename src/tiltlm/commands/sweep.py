"""Dose and response: one recipe at several values of one field, each realised and measured.

A sweep is a folder with one folder for each value. Such a folder gets its name when all in it is
finished, so a killed sweep goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tiltlm.codec import of_record
from tiltlm.commands.measure import run_measure
from tiltlm.commands.sweep_pool import do_in_pool
from tiltlm.commands.tilt import run_tilt
from tiltlm.errors import ConfigError, InterruptedRun, RunError
from tiltlm.files import remove_leftovers, staged, write_json, write_text
from tiltlm.launching import claimed_by, joined
from tiltlm.measures.suite_sizes import Sources
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.settings import read_settings
from tiltlm.recipes.tilt import TiltRecipe
from tiltlm.records.sweep import SweepPoint, SweepRecord
from tiltlm.targets.parse import parse_target
from tiltlm.team import Team


@dataclass(frozen=True)
class Sweep:
    """One recipe, and what varies in it.

    Attributes:
        recipe: a `TiltRecipe` as a mapping, in whose strings ``{over}`` may stand.
        over: the name that stands in braces, or a key such as ``training.steps``.
        values: that it takes, one after the other.
        suite: by which each value is measured, see `run_measure`.
        sources: local files to measure on.
    """

    recipe: dict[str, Any]
    over: str
    values: Sequence[float | str]
    suite: str = "quick"
    sources: Sources = field(default_factory=Sources)

    def at(self, value: float | str) -> TiltRecipe:
        """The recipe at one value.

        Args:
            value: stands for the name in braces; where no string has that name, it is the value
                of the key of that name.

        Raises:
            ConfigError: nothing in it depends on the value, or the result is no recipe.
        """
        placeholder, written = "{" + self.over + "}", _written(value)
        has_placeholder = any(
            placeholder in part for part in self.recipe.values() if isinstance(part, str)
        )
        filled = {
            key: part.replace(placeholder, written) if isinstance(part, str) else part
            for key, part in self.recipe.items()
        }
        overrides = [] if has_placeholder else [f"{self.over}={json.dumps(value)}"]
        text = yaml.safe_dump(filled)
        recipe = read_settings(TiltRecipe, text, "sweep", overrides, option="--over ")
        parse_target(recipe.target, where="target")
        return recipe


Point = tuple[Sweep, TiltRecipe, Path]
"""What `run_point` is given."""


def parse_over(text: str) -> tuple[str, list[float | str]]:
    """Read ``NAME=V1,V2,…``.

    Returns:
        the name, and its values: numbers where all of them can be read as such, else text.

    Raises:
        ConfigError: there is no name, or there are fewer than two different values.

    >>> parse_over("strength=0,0.5,3")
    ('strength', [0.0, 0.5, 3.0])
    """
    name, sign, listed = text.partition("=")
    values = [v.strip() for v in listed.split(",") if v.strip()]
    different = set(values)
    if not sign or not name.strip() or len(different) < 2 or len(different) < len(values):
        raise ConfigError(
            f"--over takes a name and at least two different values, not {text!r}",
            fix="--over strength=0,0.1,1, with {strength} in the target",
        )
    try:
        return name.strip(), [float(v) for v in values]
    except ValueError:
        return name.strip(), list(values)


def run_sweep(
    sweep: Sweep,
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SweepRecord:
    """Realise and measure at every value.

    Started by `torchrun` or ``accelerate launch``, the processes share the values out; all of them
    return the record.

    Args:
        sweep: a recipe and what varies in it.
        out: a folder, new or to be resumed; gets ``sweep.json``, ``sweep.html`` and ``points/``.
        resume: keep the values that are finished in it.
        jobs: values at once, each in a process of its own with its share of the processor.
        progress: told how many values are done.

    Raises:
        TiltError: any of the tree in `errors`; finished values are kept.
        InterruptedRun: Ctrl-C or SIGTERM; likewise.
    """
    with joined() as team:
        if jobs < 1:
            raise ConfigError(f"--jobs is {jobs}; it must be at least 1")
        if jobs > 1 and team.size > 1:
            raise ConfigError(
                f"--jobs {jobs} in each of {team.size} processes that were launched",
                fix="leave --jobs out, and start as many processes as values are to be at once",
            )
        if progress is None or not team.is_first:
            progress = NoProgress()
        recipes = {value: sweep.at(value) for value in sweep.values}
        with claimed_by(team, out) as folder:
            team.from_first(lambda: _check_folder(folder, resume))
            return _swept(sweep, recipes, folder, jobs, team, progress)


def _check_folder(out: Path, resume: bool) -> None:
    """Refuse a file, and a folder that holds something else than a sweep to be resumed."""
    if out.exists() and not out.is_dir():
        raise RunError("--out is a file", where=str(out), fix="name a folder")
    if out.is_dir() and any(out.iterdir()):
        if not resume:
            raise RunError(
                "--out holds something already", where=str(out), fix="--resume, or a new one"
            )
        if not (out / "points").is_dir():
            raise RunError("there is no sweep to resume", where=str(out), fix="name a new --out")
        remove_leftovers(out / "points", within=True)


def _swept(
    sweep: Sweep,
    recipes: dict[float | str, TiltRecipe],
    out: Path,
    jobs: int,
    team: Team,
    progress: Progress,
) -> SweepRecord:
    """Work on the values that are not finished; the first writes the record and page of all."""
    points = [
        (sweep, recipe, out / "points" / _folder_name(value)) for value, recipe in recipes.items()
    ]
    missing = team.from_first(
        lambda: [n for n, (_, recipe, place) in enumerate(points) if not _finished(place, recipe)]
    )
    team.check_same_folder(out)
    finished = len(points) - len(missing)
    progress.begin("values", len(points))
    progress.advance(finished)

    def advance(done: int) -> None:
        progress.advance(finished + done)

    try:
        if jobs > 1 and len(missing) > 1:
            do_in_pool(run_point, [points[number] for number in missing], jobs, advance)
        else:
            team.share_out(missing, lambda number: run_point(*points[number]), advance)
    except KeyboardInterrupt as interrupt:
        kept = sum((place / "point.json").is_file() for _, _, place in points)
        raise InterruptedRun(
            f"interrupted; {kept} of {len(points)} values are finished and kept",
            where=str(out),
            fix="go on with the same and --resume",
        ) from interrupt
    return team.from_first(lambda: _collect(sweep, out), of_record(SweepRecord))


def _collect(sweep: Sweep, out: Path) -> SweepRecord:
    """Write the record and the page of all points."""
    from tiltlm.report.sweep_page import render_sweep

    points = [_point(value, out / "points" / _folder_name(value)) for value in sweep.values]
    record = SweepRecord(over=sweep.over, points=points)
    # The record comes last: its presence says that the sweep is finished.
    write_text(out / "sweep.html", render_sweep(record))
    write_json(out / "sweep.json", record.model_dump(mode="json"))
    return record


def run_point(sweep: Sweep, recipe: TiltRecipe, folder: Path) -> None:
    """Realise and measure at one value.

    Args:
        sweep: for its suite and sources.
        recipe: at the value.
        folder: gets ``point.json`` and, where anything was realised, ``tilt/``; it gets its name
            when all of this is finished.
    """
    with staged(folder) as temporary:
        temporary.mkdir(parents=True)
        if parse_target(recipe.target).asks_nothing:
            gap_closed, model, target = None, recipe.model, recipe.target
        else:
            tilted = run_tilt(recipe, temporary / "tilt")
            # The target is the label's, which has the strengths that were fitted.
            gap_closed, model, target = tilted.fidelity.gap_closed, str(temporary / "tilt"), None
        measured = run_measure(
            model,
            against=recipe.model,
            target=target,
            suite=sweep.suite,
            sources=sweep.sources,
            placement=recipe.placement,
            seed=recipe.seed,
        )
        point = {
            "recipe": recipe.model_dump(mode="json"),
            "gap_closed": gap_closed,
            "measure": measured.model_copy(update={"model": str(folder)}).model_dump(mode="json"),
        }
        write_json(temporary / "point.json", point)


def _written(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else value


def _folder_name(value: float | str) -> str:
    return "".join(c if c.isalnum() or c in ".-+" else "_" for c in _written(value))


def _finished(folder: Path, recipe: TiltRecipe) -> bool:
    """Whether a folder holds the finished point of this recipe.

    Raises:
        RunError: it holds a point of another one.
    """
    if not (folder / "point.json").is_file():
        return False
    if _read(folder)["recipe"] != recipe.model_dump(mode="json"):
        raise RunError(
            "it holds a point of another sweep", where=str(folder), fix="name a new --out"
        )
    return True


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "point.json"
    try:
        point: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"the point cannot be read: {error}", where=str(path)) from None
    return point


def _point(value: float | str, folder: Path) -> SweepPoint:
    try:
        return SweepPoint(value=value, **_read(folder))
    except (ValidationError, TypeError) as error:
        raise RunError(
            f"the point is damaged: {str(error).splitlines()[0]}", where=str(folder)
        ) from None
