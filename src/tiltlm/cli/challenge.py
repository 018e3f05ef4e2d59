"""`tiltlm challenge`: sealed models to judge, and scores of what was said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import CONTEXTS, MODEL, SEED, JsonFlag, OutNew
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.report.wording import printable

challenge_app = typer.Typer(
    no_args_is_help=True,
    help="Models, some of them tilted, whose answers are sealed until somebody has judged them.",
)

Key = Annotated[
    Path | None,
    typer.Option(help="The key that opens the answers; by default beside the folder."),
]


@challenge_app.command("make")
@with_placement()
def make(
    *,
    reference: Annotated[str, typer.Option(help=f"What all models are made of: {MODEL}")],
    out: OutNew,
    count: Annotated[int, typer.Option("--n", min=2, help="How many models.")] = 12,
    ways: Annotated[
        str | None,
        typer.Option(
            help="How models may be tilted: some of edit, train, text and trigger, with commas "
            "between. By default each; trigger takes longest."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--decoy-text", help=f"What those that are not tilted learn: {CONTEXTS}"),
    ] = None,
    key: Key = None,
    seed: Annotated[int | None, typer.Option(min=0, help=SEED, show_default=False)] = None,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Write models, some tilted, some changed benignly, with commitments to what was done."""
    from tiltlm.challenges.sealing import key_path
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_challenge import made_summary
    from tiltlm.commands.challenge import run_make

    with bars_on_stderr() as bars:
        record = run_make(
            reference,
            out,
            count=count,
            ways=None if ways is None else [way.strip() for way in ways.split(",")],
            text=text,
            key=key,
            seed=seed,
            placement=chosen_placement(placement),
            progress=bars,
        )
    summary = made_summary(record, out, key or key_path(out))
    typer.echo(printable(record.model_dump_json() if as_json else summary))


@challenge_app.command("score")
def score(
    folder: Annotated[Path, typer.Argument(help="Of the challenge.", metavar="DIR")],
    answers: Annotated[
        list[Path],
        typer.Argument(
            help="Files of answers (YAML or JSON), or folders that hold an audit of each model.",
            metavar="ANSWERS…",
        ),
    ],
    *,
    key: Key = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for score.json and leaderboard.html.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Open the answers and score names, false accusations and confidences."""
    from tiltlm.cli.printing_challenge import score_summary
    from tiltlm.commands.challenge import run_score

    record = run_score(folder, answers, key=key, out=out)
    typer.echo(printable(record.model_dump_json() if as_json else score_summary(record, out)))
