"""Dose and response: one recipe at several values of one field, each realised and measured.

A sweep is a folder with one folder for each value, which gets its name when all in it is finished;
so a killed sweep goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tiltlm.commands.measure import run_measure
from tiltlm.commands.tilt import run_tilt
from tiltlm.errors import ConfigError, RunError
from tiltlm.files import staged, write_json, write_text
from tiltlm.measures.suite_sizes import Sources
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.settings import read_settings
from tiltlm.recipes.tilt import TiltRecipe
from tiltlm.records.sweep import SweepPoint, SweepRecord
from tiltlm.targets.parse import parse_target


@dataclass(frozen=True)
class Sweep:
    """What to do.

    Attributes:
        recipe: a `TiltRecipe` as a mapping, in whose strings ``{over}`` may stand.
        over: the name that stands in braces, or a key such as ``training.steps``.
        values: of it.
        suite: for `run_measure`.
        sources: likewise.
    """

    recipe: dict[str, Any]
    over: str
    values: Sequence[float | str]
    suite: str = "quick"
    sources: Sources = field(default_factory=Sources)

    def at(self, value: float | str) -> TiltRecipe:
        """The recipe at one value.

        Raises:
            ConfigError: nothing in it depends on the value, or the result is no recipe.
        """
        mark, written = "{" + self.over + "}", f"{value:g}" if isinstance(value, float) else value
        data, found = {}, False
        for key, part in self.recipe.items():
            found |= isinstance(part, str) and mark in part
            data[key] = part.replace(mark, written) if isinstance(part, str) else part
        overrides = [] if found else [f"{self.over}={json.dumps(value)}"]
        text = yaml.safe_dump(data)
        recipe = read_settings(TiltRecipe, text, "sweep", overrides, option="--over ")
        parse_target(recipe.target, where="target")
        return recipe


def parse_over(text: str) -> tuple[str, list[float | str]]:
    """Read ``NAME=V1,V2,…``.

    >>> parse_over("strength=0,0.5,3")
    ('strength', [0.0, 0.5, 3.0])
    """
    name, sign, values = text.partition("=")
    found = [v.strip() for v in values.split(",") if v.strip()]
    if not sign or not name.strip() or len(set(found)) < 2 or len(set(found)) < len(found):
        raise ConfigError(
            f"--over takes a name and at least two different values, not {text!r}",
            fix="--over strength=0,0.1,1, with {strength} in the target",
        )
    try:
        return name.strip(), [float(v) for v in found]
    except ValueError:
        return name.strip(), list(found)


def run_sweep(
    sweep: Sweep,
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SweepRecord:
    """Realise and measure at every value.

    Args:
        sweep: what.
        out: a folder, new or to be resumed.
        resume: keep what is finished in it.
        jobs: values at once, each in a process of its own with its share of the processor.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; finished values are kept.
    """
    progress = progress or NoProgress()
    recipes = {value: sweep.at(value) for value in sweep.values}
    if out.is_dir() and any(out.iterdir()) and not resume:
        raise RunError(
            "--out holds something already", where=str(out), fix="--resume, or a new one"
        )
    folders = {value: out / "points" / _name(value) for value in recipes}
    work = [v for v in recipes if not _finished(folders[v], recipes[v])]
    progress.begin("values", len(recipes))
    progress.advance(len(recipes) - len(work))
    todo = [(sweep, recipes[v], folders[v]) for v in work]
    _carry_out(todo, jobs, lambda n: progress.advance(len(recipes) - len(work) + n))
    record = SweepRecord(over=sweep.over, points=[_point(v, folders[v]) for v in sweep.values])
    from tiltlm.report.sweep_page import render_sweep

    write_json(out / "sweep.json", record.model_dump(mode="json"))
    write_text(out / "sweep.html", render_sweep(record))
    return record


def _carry_out(
    todo: list[tuple[Sweep, TiltRecipe, Path]], jobs: int, done: Callable[[int], None]
) -> None:
    if jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; it must be at least 1")
    if jobs == 1 or len(todo) < 2:
        for number, (sweep, recipe, folder) in enumerate(todo, 1):
            run_point(sweep, recipe, folder)
            done(number)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _use_threads, (threads,)) as pool:
        waiting = [pool.submit(run_point, *one) for one in todo]
        for number, future in enumerate(as_completed(waiting), 1):
            future.result()
            done(number)


def _use_threads(count: int) -> None:
    import torch

    from tiltlm.quiet import quiet_libraries

    quiet_libraries()
    torch.set_num_threads(count)


def run_point(sweep: Sweep, recipe: TiltRecipe, folder: Path) -> None:
    """One value: realise, measure, and only then give the folder its name."""
    with staged(folder) as temporary:
        temporary.mkdir(parents=True)
        gap_closed, model = None, recipe.model
        if not _asks_nothing(recipe):
            made = run_tilt(recipe, temporary / "tilt")
            gap_closed, model = made.fidelity.gap_closed, str(temporary / "tilt")
        measured = run_measure(
            model,
            against=recipe.model,
            target=recipe.target if gap_closed is None else None,
            suite=sweep.suite,
            sources=sweep.sources,
            seed=recipe.seed,
        )
        point = {
            "recipe": recipe.model_dump(mode="json"),
            "gap_closed": gap_closed,
            "measure": measured.model_copy(update={"model": str(folder)}).model_dump(mode="json"),
        }
        write_json(temporary / "point.json", point)


def _asks_nothing(recipe: TiltRecipe) -> bool:
    """A tilt of strength 0 is the base itself, and there is nothing to realise."""
    target = parse_target(recipe.target)
    return getattr(target, "strength", None) == 0


def _name(value: float | str) -> str:
    text = f"{value:g}" if isinstance(value, float) else value
    return "".join(c if c.isalnum() or c in ".-+" else "_" for c in text)


def _finished(folder: Path, recipe: TiltRecipe) -> bool:
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
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"the point cannot be read: {error}", where=str(path)) from None
    return found


def _point(value: float | str, folder: Path) -> SweepPoint:
    try:
        return SweepPoint(value=value, **_read(folder))
    except (ValidationError, TypeError) as error:
        raise RunError(
            f"the point is damaged: {str(error).splitlines()[0]}", where=str(folder)
        ) from None
