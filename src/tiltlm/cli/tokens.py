"""`tiltlm tokens`: which tokens an event catches."""

from __future__ import annotations

from typing import Annotated

import typer

from tiltlm.cli.options import MODEL, JsonFlag
from tiltlm.report.wording import printable


def tokens(
    event: Annotated[
        str, typer.Argument(help="An event, for example \"contains('x') | contains('X')\".")
    ],
    *,
    model: Annotated[str, typer.Option(help=f"Whose tokens: {MODEL}")] = "model5",
    examples: Annotated[int, typer.Option(min=0, help="How many tokens to show.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """How many tokens an event catches, which share that is, and which they are."""
    from tiltlm.cli.printing_tokens import tokens_json, tokens_summary
    from tiltlm.commands.tokens import run_tokens

    record = run_tokens(event, model, examples=examples)
    typer.echo(printable(tokens_json(record) if as_json else tokens_summary(record)))
