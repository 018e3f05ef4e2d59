"""`tiltlm ui`: a page over what the command line does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltlm.cli.options import Language
from tiltlm.report.wording import printable


def ui(
    *,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder that the page may read models, packs and texts from; what it makes goes "
            "into the first. May be given more than once. By default runs, which is made."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's needs --password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    share: Annotated[
        bool, typer.Option("--share", help="Ask gradio for a public address; needs --password.")
    ] = False,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="TILTLM_UI_PASSWORD", help="That visitors have to know; the user is tiltlm."
        ),
    ] = None,
    language: Language = "en",
) -> None:
    """Open a page on which one can see all this happen."""
    from tiltlm.strings.catalogue import read_strings
    from tiltlm.web.serving import check_open_to_none, serve

    read_strings(language)
    check_open_to_none(host, share=share, password=password)
    folders = folder or [Path("runs")]
    if folder is None:
        folders[0].mkdir(exist_ok=True)
    serve(
        folders, host=host, port=port, share=share, password=password, language=language,
        opened=lambda address: typer.echo(printable(f"open {address}")),
    )  # fmt: skip
