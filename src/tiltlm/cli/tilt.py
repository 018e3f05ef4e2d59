"""`tiltlm tilt`: realise a target in a model."""

from __future__ import annotations

from typing import Annotated

import typer

from tiltlm.cli.options import MODEL, SEED, By, Contexts, JsonFlag, OutNew
from tiltlm.cli.placement import Chosen, with_placement


@with_placement()
def tilt(
    model: Annotated[
        str, typer.Argument(help=f"{MODEL} Or a YAML file that says model, target and how.")
    ],
    *,
    out: OutNew,
    target: Annotated[
        str | None,
        typer.Option(
            help="What the model should become, for example \"tilt(contains('x'), 1.0)\", which "
            "raises the log-odds of tokens with an x by 1 nat."
        ),
    ] = None,
    by: By = None,
    contexts: Contexts = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write a whole model instead of an adapter.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(help="With --by train: start from the base, or from the edit."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="With --by train: the most steps to train.")
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option(help="With --by train: what to train: head, body+head (LoRA) or full."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=SEED)] = None,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring a model to a target: by edit (closed form), train or decode; measure and save it."""
    from tiltlm.recipes.tilt import recipe_of

    options = {"target": target, "by": by, "contexts": contexts, "merge": merge or None}
    options |= {f"placement.{name}": value for name, value in (placement or {}).items()}
    training = {"start": start, "steps": steps, "parameters": parameters}
    recipe = recipe_of(model, {**options, "seed": seed}, training)

    # A mistake in the options is told at once, before torch is imported.
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_run import tilt_summary
    from tiltlm.commands.tilt import run_tilt

    with bars_on_stderr() as bars:
        record = run_tilt(recipe, out, progress=bars)
    typer.echo(record.model_dump_json() if as_json else tilt_summary(record, out))
