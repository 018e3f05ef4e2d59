"""`tiltlm label` and `tiltlm push`: what a saved model says of itself, checked and handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import JsonFlag
from tiltlm.report.wording import printable

label_app = typer.Typer(
    no_args_is_help=True,
    help="What a saved model says of itself: all that was done to it, from what base, with hashes.",
)

Labelled = Annotated[
    str, typer.Argument(help="A folder that holds a labelled model.", metavar="DIR")
]
PublicKey = Annotated[
    Path | None,
    typer.Option("--key", help="Public key (PEM) of whoever should have signed it."),
]


@label_app.command("show")
def show(model: Labelled, *, key: PublicKey = None, as_json: JsonFlag = False) -> None:
    """All that was done to a model, and whether its files are what the label says."""
    from tiltlm.cli.printing_label import label_summary
    from tiltlm.commands.label import check_label

    record = check_label(model, key)
    typer.echo(printable(record.model_dump_json() if as_json else label_summary(record)))


@label_app.command("verify")
def verify(model: Labelled, *, key: PublicKey = None, as_json: JsonFlag = False) -> None:
    """Compare files, chain and signature with the label; exit code 1 where something differs."""
    from tiltlm.cli.printing_label import verdict_summary
    from tiltlm.commands.label import check_label

    record = check_label(model, key)
    typer.echo(printable(record.model_dump_json() if as_json else verdict_summary(record)))
    if record.faults:
        raise typer.Exit(1)


@label_app.command("sign")
def sign(
    model: Labelled,
    *,
    key: Annotated[Path, typer.Option(help="Private key (PEM), Ed25519 or elliptic curve.")],
    as_json: JsonFlag = False,
) -> None:
    """Sign a labelled folder in the OpenSSF model-signing format: model.sig beside its files."""
    from tiltlm.cli.printing_label import signed_summary
    from tiltlm.commands.label import sign_label

    record = sign_label(model, key)
    typer.echo(printable(record.model_dump_json() if as_json else signed_summary(record)))


@label_app.command("key")
def key(
    path: Annotated[
        Path, typer.Argument(help="A new file; the public key gets .pub after that name.")
    ],
) -> None:
    """Make an Ed25519 key to sign labels with."""
    from tiltlm.commands.label import make_label_key

    fingerprint = make_label_key(path)
    typer.echo(printable(f"{path}, {path}.pub\nfingerprint {fingerprint}"))


def push(
    model: Labelled,
    repository: Annotated[
        str, typer.Argument(help="ORGANISATION/NAME on the Hub.", metavar="REPOSITORY")
    ],
    *,
    private: Annotated[
        bool, typer.Option("--private", help="For a new repository: for its owners only.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Upload a labelled folder to the Hugging Face Hub, once its label was verified."""
    from tiltlm.cli.printing_label import pushed_summary
    from tiltlm.commands.label import push_model

    record = push_model(model, repository, private=private)
    typer.echo(printable(record.model_dump_json() if as_json else pushed_summary(record)))
