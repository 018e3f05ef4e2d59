"""`tiltlm measure`: what a tilt did, and what else it did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import MODEL, JsonFlag, OutOptional, Pairs, Seed, Suite, Text
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement

Tasks = Annotated[
    str | None,
    typer.Option(help="Tasks of lm-evaluation-harness, with commas between: arc_easy,piqa."),
]
Include = Annotated[Path | None, typer.Option(help="Folder with tasks of your own for --tasks.")]
Limit = Annotated[
    int | None, typer.Option(min=2, help="With --tasks: the most questions of each task.")
]
On = Annotated[
    int | None,
    typer.Option(
        min=100,
        help="Draw so many tokens in one go, to see how the hit rate of each hundred goes on.",
    ),
]


@with_placement(two_models=True)
def measure(
    model: Annotated[
        str, typer.Argument(help=f"A folder that `tiltlm tilt` wrote, or any other model: {MODEL}")
    ],
    *,
    against: Annotated[
        str | None,
        typer.Option(help="The base to compare with. By default the one that the label names."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="The target whose event is measured. By default the label's."),
    ] = None,
    suite: Suite = "quick",
    text: Text = None,
    pairs: Pairs = None,
    tasks: Tasks = None,
    include: Include = None,
    limit: Limit = None,
    on: On = None,
    out: OutOptional = None,
    seed: Seed = 0,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure what a tilt did, what else it did, and how long it lasts."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_measure import print_measure
    from tiltlm.commands.measure import run_measure
    from tiltlm.measures.suite_sizes import Sources

    names = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    with bars_on_stderr() as bars:
        record = run_measure(
            model,
            out,
            against=against,
            target=target,
            suite=suite,
            sources=Sources(text, pairs, tuple(names), include, limit),
            on_tokens=on,
            placement=chosen_placement(placement),
            seed=seed,
            progress=bars,
        )
    if as_json:
        typer.echo(record.model_dump_json())
    else:
        print_measure(record, out)
