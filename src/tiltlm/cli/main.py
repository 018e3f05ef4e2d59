"""The command line as a whole: its commands, its entry point, and errors as exit codes.

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

from tiltlm.cli.allocation import collect_garbage_seldom, keep_freed_memory
from tiltlm.cli.audit import audit_app
from tiltlm.cli.challenge import challenge_app
from tiltlm.cli.export import export
from tiltlm.cli.info import info
from tiltlm.cli.interrupts import Commands, cut_short, exit_code, listening, unfinished
from tiltlm.cli.label import label_app, push
from tiltlm.cli.measure import measure
from tiltlm.cli.null import null_app
from tiltlm.cli.run import demo, recipes_app, report, run
from tiltlm.cli.sample import sample
from tiltlm.cli.sweep import sweep
from tiltlm.cli.tilt import tilt
from tiltlm.cli.tokens import tokens
from tiltlm.cli.ui import ui
from tiltlm.cli.undo import undo
from tiltlm.cli.verify import verify
from tiltlm.errors import ConfigError, InterruptedRun, ModelError, TiltError, reason_of
from tiltlm.launching import are_several, await_told, is_first, joined, tell_told
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

for _command in (
    demo, run, report, tilt, measure, sweep, undo, sample, export, verify, tokens, push, ui, info
):  # fmt: skip
    app.command()(_command)

app.add_typer(recipes_app, name="recipes")
app.add_typer(audit_app, name="audit")
app.add_typer(null_app, name="null")
app.add_typer(label_app, name="label")
app.add_typer(challenge_app, name="challenge")


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
                fix="leave the launcher out; `tiltlm null build` and `tiltlm sweep` share their "
                "work out, and a script can train by TiltTrainer",
            )


def main() -> None:
    """The entry point of ``tiltlm``: an error becomes one message on stderr and an exit code.

    That is 2, or after an interrupt what shells expect of the signal: 130 or 143.
    """
    keep_freed_memory()
    collect_garbage_seldom()
    with listening() as interrupts:
        try:
            with _one_speaks():
                app()
        except TiltError as error:
            _fail(error, exit_code(error))
        except KeyboardInterrupt as interrupt:
            if is_first():
                _fail(unfinished(), exit_code(interrupt))
            sys.exit(exit_code(interrupt))
        except SystemExit as end:
            if end.code or not interrupts:
                raise
            _fail(cut_short(), exit_code(interrupts[-1]))
        except BaseException as error:
            told = _told(error)
            if told is None:
                raise
            _fail(told, exit_code(told))


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


def _told(error: BaseException) -> TiltError | None:
    """The error in place of one that comes from beneath the libraries; None for any other."""
    kind = type(error).__name__
    if kind == "PanicException":  # Rust's, of the tokenizers' own library; it is no Exception.
        return ModelError(f"the tokenizer cannot read a text: {reason_of(error)}")
    if kind == "OutOfMemoryError":  # torch's; torch need not have been imported.
        return ModelError(
            "the GPU has no room left for this",
            fix="--dtype bfloat16, --quantization 8bit or 4bit, shorter or fewer contexts, or "
            "--device cpu",
        )
    return None


def _fail(error: TiltError, code: int) -> None:
    if error.told_by_another:
        await_told()
        sys.exit(code)
    if isinstance(error, InterruptedRun) and not is_first():  # A launcher interrupts all at once.
        sys.exit(code)
    from rich.text import Text

    from tiltlm.cli.console import PlainConsole

    message = Text(f"{type(error).__name__}: ", style="bold red")
    message.append(Text(str(error), style="default"))
    PlainConsole(stderr=True).print(message, soft_wrap=True)
    if error.told_by_another is not None:
        tell_told()
    sys.exit(code)


def describe() -> dict[str, str | None]:
    """Every command by name, with its help; the documentation is checked against it."""
    group: Any = typer.main.get_command(app)
    return {name: command.help for name, command in group.commands.items()}
