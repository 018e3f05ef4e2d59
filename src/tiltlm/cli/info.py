"""`tiltlm info`: what this machine has, what would be chosen on it, and what is missing."""

from __future__ import annotations

import typer

from tiltlm.cli.options import JsonFlag
from tiltlm.report.wording import printable


def info(*, as_json: JsonFlag = False) -> None:
    """Versions, devices, precision chosen and why, the cache, and what is missing for what."""
    from tiltlm.cli.printing_info import info_summary
    from tiltlm.commands.info import run_info

    record = run_info()
    typer.echo(printable(record.model_dump_json() if as_json else info_summary(record)))
