"""`tiltlm null`: packs of benign changes, which calibrate audits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import MODEL, JsonFlag, OutResumed, Resume, Seed
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, NULL_MODELS, TRIGGER_WORDS
from tiltlm.report.wording import printable

null_app = typer.Typer(
    no_args_is_help=True, help="Packs of benign changes, which calibrate audits."
)


Corpora = Annotated[
    list[str] | None,
    typer.Option(
        "--corpus",
        help="Text to fine-tune on: text:FILE, dataset:NAME or chat:FILE.jsonl. May be given more "
        "than once. Comes besides the default mix.",
    ),
]
Reference = Annotated[str, typer.Option(help=f"The model whose benign changes are made: {MODEL}")]
Number = Annotated[
    int,
    typer.Option(
        min=1, help="How many benign changes; p-values of audits are at least 1 / (n + 1)."
    ),
]
Contexts = Annotated[
    int, typer.Option(min=4, help="How many own samples of the reference shifts are read at.")
]
Length = Annotated[int, typer.Option(min=16, help="Tokens of each of these.")]
Steps = Annotated[
    str, typer.Option(help="Numbers of fine-tuning steps to choose from, with commas between.")
]
Words = Annotated[int, typer.Option(min=8, help="How many words audits can try as triggers.")]
Triggers = Annotated[
    Path | None,
    typer.Option(help="File with words to try as triggers first: one a line, or a JSON list."),
]
NoDefaultCorpora = Annotated[
    bool,
    typer.Option(
        "--no-default-corpora",
        help="Leave out the default mix of texts: the model's own samples and answers, a text in "
        "eight languages, and what installed packages carry (help, licences, code, tables, docs).",
    ),
]


@null_app.command("build")
@with_placement()
def build(
    *,
    reference: Reference,
    out: OutResumed,
    n: Number = NULL_MODELS,
    corpora: Corpora = None,
    no_default_corpora: NoDefaultCorpora = False,
    contexts: Contexts = AUDIT_CONTEXTS,
    length: Length = AUDIT_TOKENS,
    steps: Steps = "4,8,16,32",
    words: Words = TRIGGER_WORDS,
    triggers: Triggers = None,
    seed: Seed = 0,
    placement: Chosen = None,
    resume: Resume = False,
    as_json: JsonFlag = False,
) -> None:
    """Make benign changes of a model (fine-tunes, LoRAs, rounding) and keep how they shift it."""
    from tiltlm.auditing.null.building import build_null
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_audit import print_null
    from tiltlm.launching import joined

    with joined(), bars_on_stderr() as bars:
        built = build_null(
            reference,
            out,
            models=n,
            corpora=corpora or (),
            default_corpora=not no_default_corpora,
            contexts=contexts,
            length=length,
            steps=_numbers(steps),
            words=words,
            triggers=triggers,
            seed=seed,
            resume=resume,
            placement=chosen_placement(placement),
            progress=bars,
        )
    if as_json:
        typer.echo(printable(built.model_dump_json()))
    else:
        print_null(built)


def _numbers(text: str) -> list[int]:
    from tiltlm.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"{text!r} is no list of numbers", where="--steps", fix="4,8,16"
        ) from None
