"""The command line as a whole: its commands, its entry point, and errors as exit codes.

Each command is a door: it reads options, calls one Python function of `tiltlm.commands`, and prints
the record that comes back. Nothing large is imported until a command needs it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from tiltlm.cli.audit import audit_app
from tiltlm.cli.info import info
from tiltlm.cli.interrupts import Commands, cut_short, exit_code, listening, unfinished
from tiltlm.cli.measure import measure
from tiltlm.cli.null import null_app
from tiltlm.cli.run import demo, recipes_app, report, run
from tiltlm.cli.sample import sample
from tiltlm.cli.sweep import sweep
from tiltlm.cli.tilt import tilt
from tiltlm.cli.tokens import tokens
from tiltlm.errors import TiltError
from tiltlm.quiet import quiet_libraries

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Shape the output distribution of a language model on purpose, measure what that did, "
    "and tell when somebody else has.",
)
"""All commands."""

for _command in (demo, run, report, tilt, measure, sweep, sample, tokens, info):
    app.command()(_command)

app.add_typer(recipes_app, name="recipes")
app.add_typer(audit_app, name="audit")
app.add_typer(null_app, name="null")


@app.callback()
def before_every_command() -> None:
    """Keep other libraries off the screen; called before each command."""
    quiet_libraries()


def main() -> None:
    """The entry point of ``tiltlm``: an error becomes one message on stderr and an exit code.

    That is 2, or after an interrupt what shells expect of the signal: 130 or 143.
    """
    # Gradients of 124M weights are allocated anew each step; huge pages save a third of the step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with listening() as interrupts:
        try:
            app()
        except TiltError as error:
            _fail(error, exit_code(error))
        except KeyboardInterrupt as interrupt:
            _fail(unfinished(), exit_code(interrupt))
        except SystemExit as end:
            if end.code or not interrupts:
                raise
            _fail(cut_short(), exit_code(interrupts[-1]))


def _fail(error: TiltError, code: int) -> None:
    from rich.console import Console
    from rich.text import Text

    message = Text(f"{type(error).__name__}: ", style="bold red")
    message.append(Text(str(error), style="default"))
    Console(stderr=True).print(message, soft_wrap=True)
    sys.exit(code)


def describe() -> dict[str, str | None]:
    """Every command by name, with its help; the documentation is checked against it."""
    group: Any = typer.main.get_command(app)
    return {name: command.help for name, command in group.commands.items()}
