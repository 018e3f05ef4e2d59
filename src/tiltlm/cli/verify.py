"""`tiltlm verify`: is the tilt of a label what a server serves?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import CONTEXTS, MODEL, JsonFlag, OutOptional, Seed
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.defaults import VERIFY_BUDGET, VERIFY_ERROR
from tiltlm.report.wording import printable

EXIT_CODES = {"tilt": 0, "base": 1, "neither": 1, "undecided": 3}
"""What the command ends with, by its verdict; 2 is a mistake, as everywhere."""

Endpoint = Annotated[
    str | None,
    typer.Option(help="Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1."),
]
Label = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the label that says what should be served: of `tiltlm tilt` or "
        "`tiltlm export`."
    ),
]
TargetText = Annotated[
    str | None, typer.Option(help="What should be served, instead of a label's target.")
]
Base = Annotated[
    str | None,
    typer.Option(help=f"The base, with --target; with --label, where it lies now. {MODEL}"),
]
Error = Annotated[
    float, typer.Option(help="Probability of ruling out what is served, so of a false verdict.")
]
Budget = Annotated[int, typer.Option(min=1, help="The most tokens to ask for, one a request.")]
Prompts = Annotated[
    str | None, typer.Option("--contexts", help=f"Where prompts are taken from: {CONTEXTS}")
]
AsServed = Annotated[
    bool,
    typer.Option(
        "--as-served",
        help="Leave temperature and filters to the server, as for a client that asks for nothing, "
        "instead of asking it to draw from the model as it is.",
    ),
]
Earlier = Annotated[
    Path | None,
    typer.Option(
        help="Folder of an earlier verification of the same server: its tokens are counted, and "
        "asking goes on."
    ),
]


@with_placement()
def verify(
    served: Annotated[
        str,
        typer.Argument(
            help="With --endpoint: the name of the model there. Without: a model here, "
            f"{MODEL} Also a folder that `tiltlm tilt` wrote."
        ),
    ],
    *,
    endpoint: Endpoint = None,
    label: Label = None,
    target: TargetText = None,
    base: Base = None,
    error: Error = VERIFY_ERROR,
    budget: Budget = VERIFY_BUDGET,
    contexts: Prompts = None,
    as_served: AsServed = False,
    earlier: Earlier = None,
    out: OutOptional = None,
    seed: Seed = 0,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove what a server serves: the tilt (exit code 0), not the tilt (1), undecided (3)."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_verify import verify_summary
    from tiltlm.commands.verify import run_verify
    from tiltlm.serving.verify.verifying import VerifyOptions

    options = VerifyOptions(
        endpoint=endpoint,
        label=label,
        target=target,
        base=base,
        error=error,
        budget=budget,
        contexts=contexts,
        as_served=as_served,
        earlier=earlier,
        placement=chosen_placement(placement),
        seed=seed,
    )
    with bars_on_stderr() as bars:
        record = run_verify(served, options, out, progress=bars)
    typer.echo(printable(record.model_dump_json() if as_json else verify_summary(record, out)))
    if EXIT_CODES[record.verdict]:
        raise typer.Exit(EXIT_CODES[record.verdict])
