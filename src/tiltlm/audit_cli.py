"""`tiltlm audit` and `tiltlm null`: doors, no logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli_options import JsonFlag, Seed

null_app = typer.Typer(no_args_is_help=True, help="Packs of benign changes, which calibrate.")


def audit(
    suspect: Annotated[str, typer.Argument(help="A folder, a GGUF file, or a name on the Hub.")],
    reference: Annotated[str, typer.Option(help="What it should be like.")],
    null: Annotated[
        Path | None, typer.Option(help="A pack of `tiltlm null build`; without: uncalibrated.")
    ] = None,
    fpr: Annotated[
        float, typer.Option(help="Chance with which a benign change is accused.")
    ] = 0.01,
    contexts: Annotated[
        str | None, typer.Option(help="Without --null: as for `tiltlm tilt`.")
    ] = None,
    lists: Annotated[
        Path | None, typer.Option(help='Word lists to try: JSON, {"name": ["word", …]}.')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder, for the record.")] = None,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Name what was tilted in a model, at a stated false-positive rate; or find nothing."""
    from rich.console import Console

    from tiltlm.audit_command import run_audit
    from tiltlm.audit_summary import print_audit
    from tiltlm.progress import Bars, quiet_libraries

    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        record = run_audit(
            suspect,
            reference,
            out,
            null=null,
            fpr=fpr,
            contexts=contexts,
            lists=lists,
            seed=seed,
            watcher=bars,
        )
    if as_json:
        typer.echo(record.model_dump_json())
    else:
        print_audit(record, out)


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

    from tiltlm.audit_summary import print_null
    from tiltlm.null_command import build_null
    from tiltlm.progress import Bars, quiet_libraries

    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        built = build_null(
            reference,
            out,
            models=n,
            corpora=text or (),
            contexts=contexts,
            length=length,
            words=words,
            triggers=triggers,
            seed=seed,
            resume=resume,
            watcher=bars,
        )
    if as_json:
        typer.echo(built.model_dump_json())
    else:
        print_null(built)
