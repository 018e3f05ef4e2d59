"""The reference pages of the documentation, made of the code.

``python -m tests.reference_pages`` writes ``docs/reference/``.
"""

import re
from pathlib import Path
from typing import Any

import typer

import tiltlm
from tiltlm.cli.main import app

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

_OPENING = """\
<!-- Written by `python -m tests.reference_pages`. -->

# {title}

{lead}
"""


def cli_page() -> str:
    """Every command with its arguments and options."""
    lead = "Every command, as `tiltlm COMMAND --help` tells it."
    parts = [_OPENING.format(title="The command line", lead=lead)]
    parts += _commands("tiltlm", typer.main.get_command(app))
    return "\n".join(parts) + "\n"


def _commands(name: str, command: Any) -> list[str]:
    """A command and those below it, as Markdown."""
    if hasattr(command, "commands"):
        inner = [_commands(f"{name} {n}", c) for n, c in command.commands.items()]
        return [line for lines in inner for line in lines]
    lines = [f"## {name}", "", _one_line(command.help), ""]
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_option = any(text.startswith("-") for text in parameter.opts)
        named = ", ".join(parameter.opts) if is_option else parameter.name.upper()
        default = parameter.default
        without = default is None or callable(default) or default is False
        needed = "needed" if parameter.required else "" if without else f"`{default}`"
        told = _one_line(parameter.help).replace("|", "\\|")
        rows.append(f"| `{named}` | {needed} | {told} |")
    if rows:
        lines += ["| | default | |", "|---|---|---|", *rows, ""]
    return lines


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def api_page() -> str:
    """Every public name, where it lives."""
    lead = "Every name of `import tiltlm`; each loads when it is first used."
    stub = (Path(tiltlm.__file__).parent / "__init__.pyi").read_text()
    named = re.findall(r"^from \.([\w.]+) import (\w+) as", stub, re.MULTILINE)
    parts = [_OPENING.format(title="Python", lead=lead)]
    parts += [f"::: tiltlm.{module}.{name}\n" for module, name in named]
    return "\n".join(parts)


PAGES = {"cli.md": cli_page, "api.md": api_page}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (REFERENCE / page).write_text(make())
