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
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1."
        ),
    ] = None,
    label: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the label that says what should be served: of `tiltlm tilt` "
            "or `tiltlm export`."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="What should be served, instead of a label's target.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help=f"The base, with --target; with --label, where it lies now. {MODEL}"),
    ] = None,
    error: Annotated[
        float, typer.Option(help="Probability of ruling out what is served: of a false verdict.")
    ] = VERIFY_ERROR,
    budget: Annotated[
        int, typer.Option(min=1, help="The most tokens to ask for, one a request.")
    ] = VERIFY_BUDGET,
    contexts: Annotated[
        str | None, typer.Option(help=f"Where prompts are taken from: {CONTEXTS}")
    ] = None,
    as_served: Annotated[
        bool,
        typer.Option(
            "--as-served",
            help="Leave temperature and filters to the server, as for a "
            "client that asks for nothing, instead of asking it to draw from the model.",
        ),
    ] = False,
    earlier: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an earlier verification of the same server: its tokens are "
            "counted, and asking goes on."
        ),
    ] = None,
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
