"""`tiltlm sample`: draw tokens from a model."""

from __future__ import annotations

from typing import Annotated

import typer

from tiltlm.cli.options import MODEL, Seed
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement


@with_placement()
def sample(
    model: Annotated[
        str, typer.Argument(help=f"{MODEL} Also a folder that `tiltlm tilt` wrote, by decode too.")
    ],
    *,
    prompt: Annotated[
        str | None, typer.Option(help="Text to go on with. By default random tokens.")
    ] = None,
    prompt_tokens: Annotated[
        int, typer.Option(min=1, help="Without --prompt: how many random tokens to begin with.")
    ] = 16,
    new_tokens: Annotated[
        int, typer.Option(min=1, help="How many tokens to draw for each sequence.")
    ] = 60,
    sequences: Annotated[int, typer.Option(min=1, help="How many sequences to draw.")] = 1,
    temperature: Annotated[
        float, typer.Option(help="Logits are divided by it; it must be above 0.")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option(help="Draw only from so many likeliest tokens; 0 draws from all.")
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Draw only from the likeliest tokens that together have this probability; 1 "
            "draws from all."
        ),
    ] = 1.0,
    seed: Seed = 0,
    placement: Chosen = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each sequence.")
    ] = False,
) -> None:
    """Draw tokens from a model."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.commands.sample import run_sample
    from tiltlm.models.sampling import SamplingOptions

    options = SamplingOptions(temperature, top_k, top_p, seed)
    with bars_on_stderr() as bars:
        drawn = run_sample(
            model,
            new_tokens,
            options,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            sequences=sequences,
            placement=chosen_placement(placement),
            progress=bars,
        )
    for sequence in drawn:
        typer.echo(sequence.to_json() if as_json else sequence.text)
