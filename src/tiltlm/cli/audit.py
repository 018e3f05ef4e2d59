"""`tiltlm audit` and `tiltlm null`: doors, no logic."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tiltlm.cli.options import JsonFlag, Seed

null_app = typer.Typer(no_args_is_help=True, help="Packs of benign changes, which calibrate.")


class _ModelByDefault(TyperGroup):
    """`audit MODEL …` is `audit of MODEL …`, beside commands of other names."""

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
    """What one has of a suspect."""

    LOGITS = "logits"
    LOGPROBS = "logprobs"
    TEXT = "text"


@audit_app.command("of")
def audit(
    suspect: Annotated[
        str, typer.Argument(help="A folder, a GGUF file, a Hub name; or its name at --endpoint.")
    ],
    reference: Annotated[str, typer.Option(help="What it should be like.")],
    access: Annotated[
        Access,
        typer.Option(
            help="logits; logprobs of the likeliest tokens; or text alone, read until it is clear."
        ),
    ] = Access.LOGITS,
    endpoint: Annotated[
        str | None, typer.Option(help="logprobs, text: of an OpenAI-compatible server.")
    ] = None,
    null: Annotated[
        Path | None, typer.Option(help="A pack of `tiltlm null build`; without: uncalibrated.")
    ] = None,
    fpr: Annotated[float, typer.Option(help="Chance of accusing a benign change.")] = 0.01,
    contexts: Annotated[
        str | None, typer.Option(help="logits, without --null: as for `tiltlm tilt`.")
    ] = None,
    lists: Annotated[
        Path | None, typer.Option(help='Word lists to try: JSON, {"name": ["word", …]}.')
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(help="logits: to certify as not tilted; text: to test, not all classes."),
    ] = None,
    within: Annotated[float, typer.Option(help="logits: certify none beyond so many nats.")] = 0.1,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="text: tokens, 20000; logprobs: places, 1024; at most."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder, for the record.")] = None,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Name what was tilted in a model, at a stated false-positive rate; or find nothing."""
    from rich.console import Console

    from tiltlm.cli.bars import Bars, quiet_libraries
    from tiltlm.cli.printing_audit import print_audit, print_logprobs_audit, print_text_audit
    from tiltlm.commands.audit import run_audit
    from tiltlm.records.audit import LogprobsAuditRecord, TextAuditRecord

    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
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
            events=event or (),
            within=within,
            budget=budget,
            seed=seed,
            progress=bars,
        )
    if as_json:
        typer.echo(record.model_dump_json())
    elif isinstance(record, TextAuditRecord):
        print_text_audit(record, out)
    elif isinstance(record, LogprobsAuditRecord):
        print_logprobs_audit(record, out)
    else:
        print_audit(record, out)


@audit_app.command("plan")
def plan(
    strength: Annotated[float, typer.Option(help="Of the tilt to be seen, nats.")],
    mass: Annotated[float, typer.Option(help="Of the event under the reference, 0 to 1.")],
    access: Annotated[Access, typer.Option(help="text.")] = Access.TEXT,
    error: Annotated[float, typer.Option("--fpr", help="Of the audit.")] = 0.01,
    power: Annotated[float, typer.Option(help="For a test of fixed size.")] = 0.9,
    classes: Annotated[int, typer.Option(min=1, help="Among which the event is sought.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """How many tokens of text it takes to see a tilt."""
    from dataclasses import asdict

    from tiltlm.auditing.text.sample_size import plan_text
    from tiltlm.cli.printing_audit import print_plan
    from tiltlm.errors import ConfigError

    for name, value in (("--mass", mass), ("--fpr", error), ("--power", power)):
        if not 0 < value < 1:
            raise ConfigError(f"{value} is no probability", where=name, fix="between 0 and 1")
    if access is not Access.TEXT:
        raise ConfigError(
            "with logits or log-probabilities more contexts hardly help: a shift is exact where it "
            "is read, and what limits an audit is what benign changes do",
            where="--access",
            fix="audit the suspect; its page has the scores of the pack's members",
        )
    if strength == 0:
        raise ConfigError("a tilt of 0 cannot be seen", where="--strength")
    found = plan_text(strength, mass, error, power, classes)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        print_plan(found, strength, mass, classes)


@null_app.command("build")
def build(
    reference: Annotated[str, typer.Option(help="Whose benign changes.")],
    out: Annotated[Path, typer.Option(help="A folder, new or with --resume.")],
    n: Annotated[int, typer.Option(min=1, help="How many; p is at least 1 / (n + 1).")] = 299,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus", help="text:FILE, dataset:NAME, chat:FILE.jsonl; more than one is better."
        ),
    ] = None,
    contexts: Annotated[int, typer.Option(min=4, help="Own samples to read shifts at.")] = 96,
    length: Annotated[int, typer.Option(min=16, help="Tokens of each.")] = 64,
    steps: Annotated[str, typer.Option(help="Of fine-tuning, to choose from.")] = "4,8,16,32",
    words: Annotated[int, typer.Option(min=8, help="Words to try as triggers.")] = 512,
    triggers: Annotated[
        Path | None, typer.Option(help="Words to try first: one a line, or a JSON list.")
    ] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make benign changes of a model (fine-tunes, LoRAs, rounding) and keep how they shift it."""
    from rich.console import Console

    from tiltlm.auditing.null.building import build_null
    from tiltlm.cli.bars import Bars, quiet_libraries
    from tiltlm.cli.printing_audit import print_null

    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        built = build_null(
            reference,
            out,
            models=n,
            corpora=text or (),
            contexts=contexts,
            length=length,
            steps=_numbers(steps),
            words=words,
            triggers=triggers,
            seed=seed,
            resume=resume,
            progress=bars,
        )
    if as_json:
        typer.echo(built.model_dump_json())
    else:
        print_null(built)


def _numbers(text: str) -> list[int]:
    from tiltlm.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{text!r} are no numbers", where="--steps", fix="4,8,16") from None
