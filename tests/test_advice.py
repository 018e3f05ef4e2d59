"""The advice in error messages names calls and options; here each of them is tried out.

Advice is whatever stands after ``fix=`` in the sources. What is found in it:

- a call of an event or target, such as ``tilt(contains('x'), 1.0)``, is carried out;
- a call of a public name, such as ``tiltlm.decode(model, target, contexts)``, is held against the
  signature: its arguments have the names of the parameters, in their order;
- any other call, ``target.bind(vocabulary)`` say, and any ``name=value``, needs an entry in the
  tables below, which says what it is of;
- a command must exist, and take the options that are written after it; any other option needs an
  entry that says of which commands.

So a new advice that names what nobody knows fails.
"""

import ast
import inspect
import re
from pathlib import Path

import peft
import pytest
import torch
import typer

import tiltlm
from tiltlm.cli.main import app
from tiltlm.events.event import Event
from tiltlm.events.expressions import parse
from tiltlm.events.parse import EVENTS
from tiltlm.targets.arguments import EXAMPLES
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import TARGETS, parse_target
from tiltlm.targets.target import Target
from tiltlm.targets.trigger import Trigger

METHODS = {
    "target.bind": Target.bind,
    "target.read": BoundTarget.read,
    "unload": peft.LoraModel.unload,
    "logits.log_softmax": torch.Tensor.log_softmax,
}
"""Calls that are neither of a public name nor of an event or target."""

PARAMETERS = {
    "fused_loss": "TiltConfig",
    "processing_class": "TiltTrainer",
    "reference": "TiltTrainer",
}
"""Of which public name each ``name=value`` is a parameter."""

LOADING = [
    *("tilt", "measure", "sweep", "sample", "run", "audit of", "null build"),
    *("undo", "challenge make", "verify"),
]
"""Commands that load a model."""

OPTIONS = {
    "--device": LOADING,
    "--dtype": LOADING,
    "--device-map": LOADING,
    "--quantization": LOADING,
    "--access": ["audit of"],
    "--adapter": ["export"],
    "--base": ["verify", "export"],
    "--earlier": ["verify"],
    "--error": ["verify"],
    "--for": ["export"],
    "--head": ["export"],
    "--label": ["verify"],
    "--merge": ["tilt"],
    "--processor": ["export"],
    "--against": ["measure"],
    "--budget": ["audit of"],
    "--by": ["tilt", "undo"],
    "--corpus": ["null build"],
    "--decodes": ["audit of"],
    "--jobs": ["sweep"],
    "--parameters": ["tilt"],
    "--endpoint": ["audit of", "verify"],
    "--contexts": ["tilt", "sweep", "null build", "audit of", "verify"],
    "--fpr": ["audit of", "undo"],
    "--include": ["measure"],
    "--lists": ["audit of"],
    "--n": ["null build", "challenge make"],
    "--no-default-corpora": ["null build"],
    "--null": ["audit of"],
    "--plan": ["null build"],
    "--words-every": ["null build"],
    "--out": ["run", "tilt", "measure", "sweep", "audit of", "null build", "demo", "undo"],
    "--over": ["sweep"],
    "--password": ["ui"],
    "--port": ["ui"],
    "--resume": ["run", "sweep", "null build"],
    "--set": ["run", "recipes show"],
    "--finding": ["undo"],
    "--mass": ["undo"],
    "--key": ["label sign", "label verify", "challenge make", "challenge score"],
    "--reference": ["undo", "audit of", "null build", "challenge make"],
    "--target": ["tilt", "measure", "sweep", "undo", "verify"],
    "--within": ["audit of"],
}
"""The commands that may give advice with an option."""

SAMPLES = {"EVENT": "contains('x')", "{text}": "contains('x')", "STRENGTH": "1.0"}
"""What stands for a part that an advice leaves open."""

REALISATIONS = ["edit", "train", "decode"]
"""Advice names these by the bare word."""


def literal(node):
    """An advice as it is written, with braces where something is filled in; None for a variable."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr():
            return "".join(map(literal, node.values))
        case ast.FormattedValue():
            return f"{{{node.value.id if isinstance(node.value, ast.Name) else '…'}}}"
        case ast.BinOp():
            return (literal(node.left) or "") + (literal(node.right) or "")
        case ast.IfExp():
            return " | ".join(filter(None, map(literal, (node.body, node.orelse))))
    return None


def collected():
    """Every advice in the sources, with the file that it stands in."""
    root = Path(tiltlm.__file__).parent
    advice = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            values = []
            if isinstance(node, ast.keyword) and node.arg == "fix":
                values = [node.value]
            elif isinstance(node, ast.Assign):
                named = [t.id for t in node.targets if isinstance(t, ast.Name)]
                values = [node.value] if "fix" in named else []
            advice |= {(literal(value), str(path.relative_to(root))) for value in values}
    return sorted((text, path) for text, path in advice if text)


def calls(text):
    """Every outermost call in a text, with its arguments, and every dotted name of the package."""
    outermost, end = [], 0
    for begin in re.finditer(r"[A-Za-z_][\w.]*\(", text):
        if begin.start() < end:
            continue
        depth, end = 1, begin.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        outermost.append(text[begin.start() : end])
    return outermost + re.findall(r"tiltlm\.\w+(?![\w(])", text)


def commands():
    """From each command to the options that it takes."""
    options = {}

    def walk(command, path):
        options[path] = {option for p in command.params for option in p.opts}
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}".strip())

    walk(typer.main.get_command(app), "")
    return options


ADVICE = collected()
COMMANDS = commands()
CALLS = sorted({call for text, _ in ADVICE for call in calls(text)})


def is_expression(call):
    return call.partition("(")[0] in {**EVENTS, **TARGETS}


def test_advice_is_found_in_the_sources():
    assert len(ADVICE) > 80
    assert "tiltlm.decode(model, target, contexts)" in CALLS
    assert calls("give f(a, g(b)) or h.i(c)") == ["f(a, g(b))", "h.i(c)"]


@pytest.mark.parametrize("call", filter(is_expression, CALLS))
def test_an_event_or_target_in_an_advice_can_be_written_so(call):
    for part, sample in SAMPLES.items():
        call = call.replace(part, sample)
    built = parse(call, {**EVENTS, **TARGETS})
    assert isinstance(built, Event | Target | Trigger)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_each_target_can_be_written_so(name):
    assert name in TARGETS
    assert str(parse_target(EXAMPLES[name])).startswith(f"{name}(")


def complaint(call):
    """What is wrong with a call of a public name, held against its signature; or None."""
    name, bracket, inside = call.removeprefix("tiltlm.").partition("(")
    if name not in tiltlm.__all__:
        return f"tiltlm has no {name}"
    if not bracket:
        return None
    written = ast.parse(f"f({inside.replace('…', '...')}", mode="eval").body
    names = [a.id for a in written.args if isinstance(a, ast.Name)]
    parameters = list(inspect.signature(getattr(tiltlm, name)).parameters)
    if names != parameters[: len(names)]:
        return f"{name} takes {', '.join(parameters)}"
    unknown = {k.arg for k in written.keywords} - set(parameters)
    return f"{name} takes no {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("call", [call for call in CALLS if not is_expression(call)])
def test_a_python_call_in_an_advice_is_of_something_that_takes_it(call):
    name, _, inside = call.partition("(")
    if name in METHODS:
        method = METHODS[name]
        if inspect.isfunction(method) and method.__module__.startswith("tiltlm"):
            given = inside.removesuffix(")").split(", ")
            assert given == list(inspect.signature(method).parameters)[1 : 1 + len(given)]
        return
    wrong = complaint(call)
    assert wrong is None


def test_every_parameter_in_an_advice_is_one():
    for text, path in ADVICE:
        for name in re.findall(r"(?<![-\w.])(\w+)=(?=[A-Za-z(])", text):
            assert name in PARAMETERS, f"{path}: {text!r} names {name}=, which has no entry"
            owner = getattr(tiltlm, PARAMETERS[name])
            assert name in inspect.signature(owner).parameters


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_that_advice_may_name_is_there(option):
    for command in OPTIONS[option]:
        assert option in COMMANDS[command], f"tiltlm {command} has no {option}"


COMMAND = re.compile(r"(?<!install )\btiltlm((?: [a-z]+)+)([^`,;]*)")
OPTION = re.compile(r"--[a-z][a-z-]*")


def test_every_command_in_an_advice_is_there_and_takes_the_options_after_it():
    for text, path in ADVICE:
        for words, after in COMMAND.findall(text):
            named = words.split()
            prefixes = [" ".join(named[:n]) for n in range(len(named), 0, -1)]
            command = next((prefix for prefix in prefixes if prefix in COMMANDS), None)
            assert command, f"{path}: {text!r} names no command"
            for option in OPTION.findall(after):
                assert option in COMMANDS[command], f"{path}: tiltlm {command} has no {option}"


def test_every_other_option_in_an_advice_has_an_entry():
    for text, path in ADVICE:
        for option in OPTION.findall(COMMAND.sub("", text)):
            assert option in OPTIONS, f"{path}: {text!r} names {option}, which has no entry"


def test_the_realisations_that_advice_names_by_a_word_are_public_and_can_be_asked_for():
    by = next(p for p in typer.main.get_command(app).commands["tilt"].params if p.name == "by")
    for name in REALISATIONS:
        assert name in tiltlm.__all__
        assert name in by.help
