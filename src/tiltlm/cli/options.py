"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Seed = Annotated[int, typer.Option(min=0, help="Of weights, contexts and draws.")]


Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe's key.")
]


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


Model = Annotated[str, typer.Option(help="model5, a folder, or a name on the Hub.")]
