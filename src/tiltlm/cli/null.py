"""`tiltlm null`: packs of benign changes, which calibrate audits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tiltlm.cli.options import MODEL, JsonFlag, Resume, Seed
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, NULL_MODELS, TRIGGER_WORDS, WORDS_EVERY
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
        min=1,
        help="How many benign changes; p-values of audits are at least 1 / (n + 1). More "
        "than a pack has, with --resume, extend it.",
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
WordsEvery = Annotated[
    int,
    typer.Option(
        min=1,
        help="Try them at one benign change in so many, since that takes as long as all else that "
        "is read of it; p-values of triggers are at least this / n, about.",
    ),
]
Triggers = Annotated[
    Path | None,
    typer.Option(help="File with words to try as triggers first: one a line, or a JSON list."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder to write; it must be new or empty, unless --resume is given. Not needed with "
        "--plan."
    ),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan",
        help="Only say how long it would take and how large the pack would be; the first training "
        "is made for that, and nothing is kept.",
    ),
]
Pack = Annotated[str, typer.Argument(help="A folder, or a name on the Hub.")]
Public = Annotated[
    bool, typer.Option("--public", help="Let everybody see it, where the repository is made now.")
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
    out: Out = None,
    n: Number = NULL_MODELS,
    corpora: Corpora = None,
    no_default_corpora: NoDefaultCorpora = False,
    contexts: Contexts = AUDIT_CONTEXTS,
    length: Length = AUDIT_TOKENS,
    steps: Steps = "4,8,16,32",
    words: Words = TRIGGER_WORDS,
    words_every: WordsEvery = WORDS_EVERY,
    triggers: Triggers = None,
    seed: Seed = 0,
    placement: Chosen = None,
    plan: Plan = False,
    resume: Resume = False,
    as_json: JsonFlag = False,
) -> None:
    """Make benign changes of a model (fine-tunes, LoRAs, rounding) and keep how they shift it."""
    from tiltlm.launching import joined

    options: dict[str, Any] = {
        "corpora": corpora or (),
        "default_corpora": not no_default_corpora,
        "contexts": contexts,
        "length": length,
        "steps": _numbers(steps),
        "words": words,
        "words_every": words_every,
        "triggers": triggers,
        "seed": seed,
    }
    with joined():
        if plan:
            _plan(reference, n, options, placement, as_json=as_json)
        else:
            _build(reference, out, n, options, placement, resume=resume, as_json=as_json)


def _build(
    reference: str,
    out: Path | None,
    n: int,
    options: dict[str, Any],
    placement: Chosen,
    *,
    resume: bool,
    as_json: bool,
) -> None:
    from tiltlm.auditing.null.building import build_null
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_null import print_built
    from tiltlm.errors import ConfigError

    if out is None:
        raise ConfigError("there is no folder to write to", where="--out", fix="name a new one")
    with bars_on_stderr() as bars:
        built = build_null(
            reference,
            out,
            models=n,
            **options,
            resume=resume,
            placement=chosen_placement(placement),
            progress=bars,
        )
    if as_json:
        typer.echo(printable(built.model_dump_json()))
    else:
        print_built(built)


def _plan(
    reference: str, n: int, options: dict[str, Any], placement: Chosen, *, as_json: bool
) -> None:
    from tiltlm.auditing.null.plan import PackOptions
    from tiltlm.auditing.null.planning import plan_null
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_null import print_plan

    with bars_on_stderr() as bars:
        found = plan_null(
            reference,
            models=n,
            options=PackOptions(**options),
            placement=chosen_placement(placement),
            progress=bars,
        )
    if as_json:
        typer.echo(printable(found.model_dump_json()))
    else:
        print_plan(found)


@null_app.command("show")
def show(pack: Pack, as_json: JsonFlag = False) -> None:
    """Say what is in a pack, for which false-positive rate it can vouch, and what it lacks."""
    from tiltlm.auditing.null.showing import show_pack
    from tiltlm.cli.printing_null import print_shown

    shown = show_pack(pack)
    if as_json:
        typer.echo(printable(shown.model_dump_json()))
    else:
        print_shown(shown)


@null_app.command("push")
def push(
    pack: Annotated[Path, typer.Argument(help="Folder of a finished pack.")],
    name: Annotated[str, typer.Argument(help="Its name on the Hub, org/name.")],
    public: Public = False,
) -> None:
    """Send a pack to the Hub, without the texts that it was trained on; their names go with it."""
    from tiltlm.auditing.null.hub import push_pack

    typer.echo(printable(push_pack(pack, name, public=public)))


def _numbers(text: str) -> list[int]:
    from tiltlm.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"{text!r} is no list of numbers", where="--steps", fix="4,8,16"
        ) from None
