"""The command line as a whole: what it imports, what it says of itself, errors."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiltlm
from tests.conftest import TINY_RUN
from tiltlm.cli import main as cli

ROOT = Path(tiltlm.__file__).parents[2]
SETS = [part for item in TINY_RUN for part in ("--set", item)]
HEAVY = "{'torch', 'transformers', 'matplotlib', 'scipy'}"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["tilt", "--help"], ["audit", "of", "--help"], ["recipes"]]
)
def test_help_and_what_needs_no_model_import_no_torch(arguments):
    script = (
        f"import sys; sys.argv = ['tiltlm', *{arguments}]\n"
        "from tiltlm.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"assert not {HEAVY} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, tiltlm, tiltlm.targets.parse, tiltlm.recipes.run, tiltlm.report\n"
        f"assert not {HEAVY} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["tokens", "contains('qqqzx')"], "no token is in the event"),
        (["tokens", "contains('x') | ~contains('x')"], "every token is in the event"),
        (["tokens", "contain('x')"], "did you mean contains"),
        (["tokens", "contains('x')", "--model", "nowhere/nothing"], "cannot load"),
        (["run", "quik", "--out", "{tmp}/a"], "did you mean quick"),
        (["run", "quick", "--out", "{tmp}/a", "--set", "train.stepz=1"], "did you mean steps"),
        (["run", "quick", "--out", "{tmp}/a", "--set", "train.optimizer=x"], "'adamw', 'adam' or"),
        (["run", "quick", "--out", "{tmp}/a", "--set", "target=contains('x')"], "not a target"),
        (
            ["run", "quick", "--out", "{tmp}/a", "--set", "target=uniform(contains('qqqzx'))"],
            "no token is in the event",
        ),
        (["run", "quick", "--out", "{tmp}/a", "--resume"], "no run to resume"),
        (["report", "{tmp}"], "no finished run"),
        (["sample", "{tmp}"], "holds no model"),
        (["sample", "model5", "--temperature", "0"], "must be above 0"),
        (["tilt", "smollm2", "--out", "{tmp}/a"], "there is no target"),
        (["audit", "a", "--reference", "b", "--endpoint", "http://c"], "add --access logprobs"),
        (
            ["audit", "a", "--reference", "b", "--access", "logprobs", "--event", "word('x')"],
            "all classes are tried at once",
        ),
        (["audit", "plan", "--strength", "1", "--mass", "2"], "2.0 is no probability"),
        (["audit", "plan", "--strength", "0", "--mass", "0.1"], "a tilt of 0 cannot be seen"),
        (
            ["audit", "plan", "--strength", "1", "--mass", "0.1", "--access", "logits"],
            "more contexts hardly help",
        ),
        (["null", "build", "--reference", "a", "--out", "{tmp}/a", "--steps", "four"], "no list"),
    ],
)
def test_bad_input_is_one_error_with_exit_code_2(tiltlm_command, tmp_path, arguments, error):
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    if filled[0] == "run":
        filled += SETS
    code, out, err = tiltlm_command(*filled)
    assert code == 2
    assert error in err
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_unknown_options_exit_with_2_too(tiltlm_command):
    code, _, err = tiltlm_command("run", "quick", "--outt", "x")
    assert code == 2
    assert "--outt" in err


def test_every_public_name_exists():
    for name in tiltlm.__all__:
        assert getattr(tiltlm, name) is not None
    with pytest.raises(AttributeError):
        tiltlm.nothing  # noqa: B018


def test_the_changelog_tells_of_this_version():
    assert f"## {tiltlm.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    for name in cli.describe():
        assert f"tiltlm {name}" in text, name


def _helps(command, path=()):
    """Every command with its path, groups included."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _helps(inner, (*path, name))


def test_every_command_and_every_option_has_help():
    import typer

    for path, command in _helps(typer.main.get_command(cli.app)):
        assert command.help, path
        assert CliRunner().invoke(cli.app, [*path, "--help"]).exit_code == 0
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)


def test_options_of_one_name_say_the_same_in_every_command():
    import typer

    helps = {}
    for path, command in _helps(typer.main.get_command(cli.app)):
        for parameter in command.params:
            for option in parameter.opts:
                if (path, option) != (("undo",), "--by"):  # other ways than those of a tilt
                    helps.setdefault(option, set()).add(parameter.help)
    for option in ("--seed", "--suite", "--text", "--pairs", "--by", "--resume", "--set", "--fpr"):
        assert len(helps[option]) == 1, option
