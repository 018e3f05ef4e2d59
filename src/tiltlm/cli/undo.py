"""`tiltlm undo`: take a tilt back, and prove how far."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import (
    CONTEXTS,
    MODEL,
    SUITE,
    FalsePositiveRate,
    JsonFlag,
    Null,
    OutNew,
    Pairs,
    Seed,
    Text,
)
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.report.wording import printable


class Way(StrEnum):
    """How a tilt is taken back."""

    LABEL = "label"
    EDIT = "edit"
    TRAIN = "train"
    DECODE = "decode"
    INTERPOLATE = "interpolate"


Reference = Annotated[
    str | None,
    typer.Option(help=f"What it should be like; by default the base of its label: {MODEL}"),
]
Finding = Annotated[
    Path | None,
    typer.Option(help="The --out of `tiltlm audit` by logits: what it found is taken back."),
]
Measured = Annotated[str | None, typer.Option("--suite", help=SUITE)]
Mass = Annotated[
    float | None,
    typer.Option(help="edit without a reference: the probability the event should come to."),
]
Share = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="interpolate: how much of the model is to be left."),
]
WholeHead = Annotated[
    bool,
    typer.Option(
        "--whole-head",
        help="edit: give all tokens back what the reference gives them, not those found alone.",
    ),
]
Trained = Annotated[
    str | None, typer.Option(help="train: what to train: head, body+head (LoRA) or full.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="train: the most steps.")]
Returns = Annotated[
    bool,
    typer.Option(
        "--relapse", help="Train towards the tilt again, beside a base that never had it."
    ),
]
ReturnRate = Annotated[
    float | None, typer.Option(help="Learning rate of that training; 2e-5 by default.")
]
ComparedAt = Annotated[
    str | None,
    typer.Option(help=f"Contexts to compare at, half of either model's own: {CONTEXTS}"),
]
Target = Annotated[
    str | None, typer.Option(help="Instead of that an event, or a target, to take back.")
]
By = Annotated[
    Way,
    typer.Option(
        help="label: exact, for tilts of our own. edit: the opposite change of the head. "
        "train: KL back to the reference. decode: a logits processor. interpolate: weights "
        "towards the reference."
    ),
]


@with_placement()
def undo(
    model: Annotated[str, typer.Argument(help=f"The tilted model: {MODEL}")],
    *,
    out: OutNew,
    reference: Reference = None,
    by: By = Way.EDIT,
    finding: Finding = None,
    target: Target = None,
    contexts: ComparedAt = None,
    mass: Mass = None,
    share: Share = None,
    whole_head: WholeHead = False,
    parameters: Trained = None,
    steps: Steps = None,
    null: Null = None,
    fpr: FalsePositiveRate = FALSE_POSITIVE_RATE,
    suite: Measured = None,
    text: Text = None,
    pairs: Pairs = None,
    relapse: Returns = False,
    relapse_rate: ReturnRate = None,
    seed: Seed = 0,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring a tilted model back, whoever tilted it, and prove how far: audit, measures, relapse."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_undo import undo_summary
    from tiltlm.commands.undo import UndoOptions, run_undo

    options = UndoOptions(
        by=by.value,
        finding=finding,
        target=target,
        contexts=contexts,
        mass=mass,
        share=share,
        whole_head=whole_head,
        parameters=parameters,
        steps=steps,
        null=null,
        fpr=fpr,
        suite=suite,
        text=text,
        pairs=pairs,
        relapse=relapse or relapse_rate is not None,
        relapse_rate=relapse_rate,
        placement=chosen_placement(placement),
        seed=seed,
    )
    with bars_on_stderr() as bars:
        record = run_undo(model, out, reference, options, progress=bars)
    typer.echo(printable(record.model_dump_json() if as_json else undo_summary(record, out)))
