"""`tiltlm sweep`: one tilt at several values of one field."""

from __future__ import annotations

from typing import Annotated

import typer

from tiltlm.cli.options import (
    MODEL,
    By,
    Contexts,
    JsonFlag,
    OutResumed,
    Pairs,
    Resume,
    Seed,
    Suite,
    Text,
)
from tiltlm.cli.placement import Chosen, with_placement
from tiltlm.report.wording import printable


@with_placement()
def sweep(
    model: Annotated[
        str, typer.Argument(help=f"{MODEL} Or a YAML file that says model, target and how.")
    ],
    *,
    over: Annotated[
        str,
        typer.Option(
            help="What varies: strength=0,0.1,1 with {strength} in the target, or a key such as "
            "training.steps=10,30."
        ),
    ],
    out: OutResumed,
    target: Annotated[
        str | None,
        typer.Option(
            help="What the model should become, for example \"tilt(contains('x'), {strength})\"."
        ),
    ] = None,
    by: By = None,
    contexts: Contexts = None,
    suite: Suite = "quick",
    text: Text = None,
    pairs: Pairs = None,
    seed: Seed = 0,
    placement: Chosen = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many values at once, each in a process of its own.")
    ] = 1,
    resume: Resume = False,
    as_json: JsonFlag = False,
) -> None:
    """Dose and response: realise and measure a tilt at several values of one field."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_measure import print_sweep
    from tiltlm.commands.sweep import Sweep, parse_over, run_sweep
    from tiltlm.launching import joined
    from tiltlm.measures.suite_sizes import Sources
    from tiltlm.recipes.tilt import raw_recipe

    options = {
        "target": target,
        "by": by,
        "contexts": contexts,
        "seed": seed or None,
        "placement": placement,
    }
    with joined(), bars_on_stderr() as bars:
        name, values = parse_over(over)
        plan = Sweep(raw_recipe(model, options), name, values, suite, Sources(text, pairs))
        record = run_sweep(plan, out, resume=resume, jobs=jobs, progress=bars)
    if as_json:
        typer.echo(printable(record.model_dump_json()))
    else:
        print_sweep(record, out)
