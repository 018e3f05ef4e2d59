"""`tiltlm audit`: tell whether a model was tilted, and what it takes to tell."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tiltlm.cli.options import (
    CONTEXTS,
    MODEL,
    FalsePositiveRate,
    JsonFlag,
    Null,
    OutOptional,
    Seed,
)
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.defaults import (
    CERTIFIED_WITHIN_NATS,
    FALSE_POSITIVE_RATE,
    LOGPROBS_BUDGET,
    TEXT_BUDGET,
)
from tiltlm.report.wording import printable


class _ModelByDefault(TyperGroup):
    """Lets ``audit MODEL …`` mean ``audit of MODEL …``, beside commands of other names."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["of", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        # Options before the model belong to it too.
        if args and args[0].startswith("-") and args[0] not in ("--help", "-h"):
            args = ["of", *args]
        return super().parse_args(ctx, args)


audit_app = typer.Typer(
    cls=_ModelByDefault,
    no_args_is_help=True,
    help="Name what was tilted in a model, at a stated false-positive rate: "
    "`tiltlm audit MODEL --reference BASE` (options: `tiltlm audit of --help`).",
)


class Access(StrEnum):
    """What one can get of a suspect."""

    LOGITS = "logits"
    LOGPROBS = "logprobs"
    TEXT = "text"


Endpoint = Annotated[
    str | None, typer.Option(help="With logprobs or text: address of an OpenAI-compatible server.")
]
Lists = Annotated[
    Path | None,
    typer.Option(help='JSON file with word lists to try as well: {"name": ["word", …]}.'),
]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        help="With logits: an event to certify as not tilted. With text: an event to test instead "
        "of all classes of tokens. May be given more than once.",
    ),
]
Within = Annotated[
    float,
    typer.Option(help="With logits and --event: certify a mean strength within so many nats."),
]
Budget = Annotated[
    int | None,
    typer.Option(
        min=1,
        help=f"With text: the most tokens to read, by default {TEXT_BUDGET}. With logprobs: the "
        f"most positions to look at, by default {LOGPROBS_BUDGET}.",
    ),
]
Decodes = Annotated[
    bool,
    typer.Option(
        "--decodes",
        help="The suspect is a folder that `tiltlm tilt --by decode` wrote: it has no weights, and "
        "what its label says is audited. Without this an audit goes by no label.",
    ),
]


@audit_app.command("of")
@with_placement(two_models=True)
def audit(
    suspect: Annotated[
        str, typer.Argument(help=f"{MODEL} With --endpoint: the name of the model there.")
    ],
    *,
    reference: Annotated[str, typer.Option(help=f"The model that it should be like: {MODEL}")],
    access: Annotated[
        Access,
        typer.Option(
            help="What to judge by: all logits; log-probabilities of the likeliest tokens; or text "
            "alone, which is read until the matter is clear."
        ),
    ] = Access.LOGITS,
    endpoint: Endpoint = None,
    null: Null = None,
    fpr: FalsePositiveRate = FALSE_POSITIVE_RATE,
    contexts: Annotated[
        str | None,
        typer.Option(help=f"With logits and without --null: contexts to compare at: {CONTEXTS}"),
    ] = None,
    lists: Lists = None,
    events: Events = None,
    within: Within = CERTIFIED_WITHIN_NATS,
    budget: Budget = None,
    decodes: Decodes = False,
    out: OutOptional = None,
    seed: Seed = 0,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Name what was tilted in a model, at a stated false-positive rate; or find nothing."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_audit import print_any_audit
    from tiltlm.commands.audit import run_audit

    with bars_on_stderr() as bars:
        record = run_audit(
            suspect,
            reference,
            out,
            access=access.value,
            endpoint=endpoint,
            null=null,
            fpr=fpr,
            contexts=contexts,
            lists=lists,
            events=events or (),
            within=within,
            budget=budget,
            decodes=decodes,
            placement=chosen_placement(placement),
            seed=seed,
            progress=bars,
        )
    if as_json:
        typer.echo(printable(record.model_dump_json()))
    else:
        print_any_audit(record, out)


@audit_app.command("plan")
def plan(
    *,
    strength: Annotated[float, typer.Option(help="Strength of the tilt to be seen, in nats.")],
    mass: Annotated[
        float, typer.Option(help="Probability of the event under the reference, from 0 to 1.")
    ],
    access: Annotated[
        Access, typer.Option(help="What the audit judges by; only text is a matter of how much.")
    ] = Access.TEXT,
    fpr: FalsePositiveRate = FALSE_POSITIVE_RATE,
    power: Annotated[
        float,
        typer.Option(help="Probability of seeing the tilt, for a test of fixed size."),
    ] = 0.9,
    classes: Annotated[
        int, typer.Option(min=1, help="Among how many classes of tokens the event is looked for.")
    ] = 1,
    as_json: JsonFlag = False,
) -> None:
    """How many tokens of text it takes to see a tilt."""
    from tiltlm.cli.printing_audit import print_plan
    from tiltlm.commands.plan import plan_audit

    found = plan_audit(strength, mass, access=access, fpr=fpr, power=power, classes=classes)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        print_plan(found, strength, mass, classes)
