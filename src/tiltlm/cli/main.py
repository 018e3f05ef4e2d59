"""The command line as a whole: its commands, its entry point, and errors as exit code 2.

Each command is a door: it reads options, calls one Python function of `tiltlm.commands`, and prints
the record that comes back. Nothing large is imported until a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import typer

from tiltlm.cli.audit import audit_app
from tiltlm.cli.measure import measure
from tiltlm.cli.null import null_app
from tiltlm.cli.run import demo, recipes_app, report, run
from tiltlm.cli.sample import sample
from tiltlm.cli.sweep import sweep
from tiltlm.cli.tilt import tilt
from tiltlm.cli.tokens import tokens
from tiltlm.errors import ConfigError, InterruptedRun, TiltError
from tiltlm.launching import are_several, await_told, is_first, joined, tell_told
from tiltlm.quiet import quiet_libraries

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Shape the output distribution of a language model on purpose, measure what that did, "
    "and tell when somebody else has.",
)
"""All commands."""

for _command in (demo, run, report, tilt, measure, sweep, sample, tokens):
    app.command()(_command)

app.add_typer(recipes_app, name="recipes")
app.add_typer(audit_app, name="audit")
app.add_typer(null_app, name="null")


SHARED = ("null", "sweep")
"""Commands that the processes of a launcher share; all others are work for one process."""


@app.callback()
def before_every_command(context: typer.Context) -> None:
    """Keep other libraries off the screen, and several processes out of work for one.

    Raises:
        ConfigError: a launcher has started several, and the command is not made for that.
    """
    quiet_libraries()
    command = context.invoked_subcommand
    if command not in SHARED and are_several():
        with joined() as team:
            raise ConfigError(
                f"tiltlm {command} is work for one process, and {team.size} were launched",
                fix="leave the launcher out; of the commands `tiltlm null build` and `tiltlm sweep` "
                "share their work out, and a script can train by TiltTrainer",
            )


def main() -> None:
    """The entry point of ``tiltlm``: an error becomes one message on stderr and exit code 2."""
    # Gradients of 124M weights are allocated anew each step; huge pages save a third of the step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        with _one_speaks():
            app()
    except TiltError as error:
        _fail(error)
    except KeyboardInterrupt:
        if is_first():
            _fail(InterruptedRun("interrupted; nothing was left half-written"))
        sys.exit(2)


@contextmanager
def _one_speaks() -> Iterator[None]:
    """Of several processes that a launcher started, let the first alone write to the screen.

    Errors leave the block, so what only another process met with is still told.
    """
    if is_first():
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _fail(error: TiltError) -> None:
    if error.told_by_another:
        await_told()
        sys.exit(2)
    from rich.console import Console
    from rich.text import Text

    message = Text(f"{type(error).__name__}: ", style="bold red")
    message.append(Text(str(error), style="default"))
    Console(stderr=True).print(message, soft_wrap=True)
    if error.told_by_another is not None:
        tell_told()
    sys.exit(2)


def describe() -> dict[str, str | None]:
    """Every command by name, with its help; the documentation is checked against it."""
    group: Any = typer.main.get_command(app)
    return {name: command.help for name, command in group.commands.items()}
