"""`tiltlm measure` and `tiltlm sweep`: doors, no logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import JsonFlag, Seed


def measure(
    model: Annotated[str, typer.Argument(help="A folder of `tiltlm tilt`, or any model.")],
    against: Annotated[
        str | None, typer.Option(help="The base; default: the one that its label names.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Whose event is measured; default: the label's.")
    ] = None,
    suite: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    text: Annotated[Path | None, typer.Option(help="A text file: bits per byte, far on.")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="A folder with blimp/, crows_pairs.csv, winobias/.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Of lm-evaluation-harness: arc_easy,piqa, for example.")
    ] = None,
    include: Annotated[Path | None, typer.Option(help="A folder with tasks of your own.")] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Questions of each task.")] = None,
    on: Annotated[
        int | None, typer.Option(min=100, help="Draw so many tokens on: hit rate by the hundred.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder, for the record and page.")] = None,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure what a tilt did, what else it did, and how long it lasts."""
    from rich.console import Console

    from tiltlm.cli.bars import Bars, quiet_libraries
    from tiltlm.cli.printing import print_measure
    from tiltlm.commands.measure import run_measure
    from tiltlm.measures.suite_sizes import Sources

    named = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        record = run_measure(
            model,
            out,
            against=against,
            target=target,
            suite=suite,
            sources=Sources(text, pairs, tuple(named), include, limit),
            on_tokens=on,
            seed=seed,
            progress=bars,
        )
    if as_json:
        typer.echo(record.model_dump_json())
    else:
        print_measure(record, out)


def sweep(
    model: Annotated[str, typer.Argument(help="As for `tiltlm tilt`; or its YAML file.")],
    over: Annotated[
        str, typer.Option(help="strength=0,0.1,1 with {strength} in the target; or steps of a key.")
    ],
    out: Annotated[Path, typer.Option(help="A folder, new or with --resume.")],
    target: Annotated[
        str | None, typer.Option(help="\"tilt(contains('x'), {strength})\", for example.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="edit (the default), train or decode.")] = None,
    contexts: Annotated[str | None, typer.Option(help="As for `tiltlm tilt`.")] = None,
    suite: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    text: Annotated[Path | None, typer.Option(help="As for `tiltlm measure`.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="As for `tiltlm measure`.")] = None,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Values at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Keep what is finished.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Dose and response: realise and measure a tilt at several values of one field."""
    from rich.console import Console

    from tiltlm.cli.bars import Bars, quiet_libraries
    from tiltlm.cli.printing import print_sweep
    from tiltlm.commands.sweep import Sweep, parse_over, run_sweep
    from tiltlm.measures.suite_sizes import Sources
    from tiltlm.recipes.tilt import raw_recipe

    name, values = parse_over(over)
    given = {"target": target, "by": by, "contexts": contexts, "seed": seed or None}
    plan = Sweep(raw_recipe(model, given), name, values, suite, Sources(text, pairs))
    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        record = run_sweep(plan, out, resume=resume, jobs=jobs, progress=bars)
    if as_json:
        typer.echo(record.model_dump_json())
    else:
        print_sweep(record, out)
