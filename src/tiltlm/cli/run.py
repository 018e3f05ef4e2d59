"""`tiltlm demo`, `run`, `report` and `recipes`: recipes, and the runs that carry them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiltlm.cli.options import JsonFlag, Language, OutResumed, Overrides, Resume, Seed
from tiltlm.cli.placement import Chosen, with_placement
from tiltlm.report.wording import printable

if TYPE_CHECKING:
    from tiltlm.recipes.run import Recipe

recipes_app = typer.Typer(invoke_without_command=True, help="List the recipes, or show one.")


@with_placement()
def demo(
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; it must be new or empty. By default runs/demo, or runs/demo-2 "
            "and so on where that is there already."
        ),
    ] = None,
    seed: Seed = 0,
    language: Language = "en",
    placement: Chosen = None,
) -> None:
    """The article's experiment in 40 to 90 seconds on two cores: a model learns to like x."""
    from tiltlm.recipes.run import load_recipe
    from tiltlm.strings.catalogue import read_strings

    typer.echo(printable(read_strings(language).text("demo.opening")), err=True)
    recipe = load_recipe("quick", _overrides(placement))
    _carry_out(recipe, out or free_folder(Path("runs")), seed, language=language)


@with_placement()
def run(
    recipe: Annotated[str, typer.Argument(help="The name of a recipe, or a YAML file.")],
    *,
    out: OutResumed,
    seed: Seed = 0,
    resume: Resume = False,
    overrides: Overrides = None,
    language: Language = "en",
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Carry out a recipe: measure, train, measure again, write the record and the page."""
    from tiltlm.recipes.run import load_recipe
    from tiltlm.strings.catalogue import read_strings

    read_strings(language)  # A language that is not there is told before any work.

    chosen = load_recipe(recipe, [*(overrides or []), *_overrides(placement)])
    _carry_out(chosen, out, seed, resume=resume, language=language, as_json=as_json)


def report(
    directory: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    *,
    language: Language = "en",
) -> None:
    """Write a run's page again, from its record alone."""
    from tiltlm.report.run_page import write_report

    typer.echo(write_report(directory, language))


@recipes_app.callback()
def recipes(context: typer.Context) -> None:
    """List the recipes, or show one."""
    from tiltlm.recipes.run import list_recipes

    if context.invoked_subcommand is None:
        for name, description in list_recipes().items():
            typer.echo(f"{name:<10} {description}")


@recipes_app.command()
def show(
    name: Annotated[str, typer.Argument(help="The name of a recipe, or a YAML file.")],
    *,
    overrides: Overrides = None,
) -> None:
    """Print a recipe as YAML."""
    from tiltlm.recipes.run import load_recipe, read_recipe

    text = load_recipe(name, overrides).to_yaml() if overrides else read_recipe(name)[0]
    typer.echo(printable(text), nl=False)


def _carry_out(
    recipe: Recipe,
    out: Path,
    seed: int,
    *,
    resume: bool = False,
    language: str = "en",
    as_json: bool = False,
) -> None:
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_run import run_summary
    from tiltlm.commands.run import run_recipe
    from tiltlm.report.run_page import write_report

    with bars_on_stderr() as bars:
        record = run_recipe(recipe, out, seed=seed, resume=resume, progress=bars)
    page = write_report(out, language)
    summary = record.model_dump_json() if as_json else run_summary(record, page, language)
    typer.echo(printable(summary))


def _overrides(placement: Chosen) -> list[str]:
    """The options of `with_placement` as overrides of a recipe."""
    return [f"placement.{name}={value}" for name, value in (placement or {}).items()]


def free_folder(parent: Path) -> Path:
    """The first of ``demo``, ``demo-2``, ``demo-3``, … that is not there.

    Args:
        parent: the folder that it would lie in.
    """
    number = 1
    while True:
        folder = parent / ("demo" if number == 1 else f"demo-{number}")
        if not folder.exists():
            return folder
        number += 1
