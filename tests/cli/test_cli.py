import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiltlm
from tests.conftest import TINY_RUN
from tiltlm.cli import app as cli

SETS = [part for item in (*TINY_RUN, "train.steps=3") for part in ("--set", item)]


def call(capfd, monkeypatch, *arguments):
    """The command as the shell calls it: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["tiltlm", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    output = capfd.readouterr()
    return caught.value.code or 0, output.out, output.err


@pytest.fixture
def tiltlm_command(capfd, monkeypatch):
    return lambda *arguments: call(capfd, monkeypatch, *arguments)


def test_help_imports_no_torch():
    script = (
        "import sys; sys.argv = ['tiltlm', '--help']\n"
        "from tiltlm.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, tiltlm, tiltlm.targets.parse, tiltlm.recipes.run\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_tokens_counts_an_event_and_shows_it(tiltlm_command):
    code, out, _ = tiltlm_command("tokens", "contains('x')", "--model", "model5")
    assert code == 0
    assert "897 of 50,257 tokens, 1.78%" in out
    assert "<|endoftext|>" in out
    code, out, _ = tiltlm_command("tokens", "contains('x') & ~special()", "--json")
    record = json.loads(out)
    assert (record["tokens"], record["vocabulary"]) == (896, 50257)
    assert all("x" in example["text"] for example in record["examples"])


def test_recipes_are_listed_and_shown(tiltlm_command):
    code, out, _ = tiltlm_command("recipes")
    assert code == 0
    assert re.findall(r"^\w+", out, re.MULTILINE) == ["article", "quick"]
    _, out, _ = tiltlm_command("recipes", "show", "article")
    assert "steps: 200" in out
    assert out.startswith("# The article's experiment to the letter")
    _, out, _ = tiltlm_command("recipes", "show", "article", "--set", "train.steps=7")
    assert "steps: 7" in out


def test_run_then_sample_then_report(tiltlm_command, tmp_path):
    out_dir = tmp_path / "run"
    code, out, _ = tiltlm_command("run", "quick", "--out", out_dir, "--seed", "2", *SETS)
    assert code == 0
    assert "of 20 generated tokens are in the event" in out
    assert (out_dir / "report.html").is_file()

    code, out, _ = tiltlm_command(
        "sample", out_dir / "model", "--new-tokens", "30", "--sequences", "2", "--json"
    )
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [len(line["token_ids"]) for line in lines] == [30, 30]

    page = (out_dir / "report.html").read_text()
    (out_dir / "report.html").unlink()
    code, _, _ = tiltlm_command("report", out_dir)
    assert code == 0
    assert (out_dir / "report.html").read_text() == page


def test_run_prints_the_record_as_json(tiltlm_command, tmp_path):
    code, out, _ = tiltlm_command("run", "quick", "--out", tmp_path / "run", "--json", *SETS)
    assert code == 0
    assert json.loads(out)["event"]["tokens"] == 897


def test_demo_takes_a_new_folder_each_time(tmp_path):
    assert cli._free_folder(tmp_path) == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    assert cli._free_folder(tmp_path) == tmp_path / "demo-2"


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
    ],
)
def test_bad_input_is_one_error_with_exit_code_2(tiltlm_command, tmp_path, arguments, error):
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    if filled[0] == "run":
        filled += SETS[: -2 * 1]
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


def test_every_public_name_exists_and_is_listed():
    for name in tiltlm.__all__:
        assert getattr(tiltlm, name) is not None
    assert set(tiltlm._HOME) == set(tiltlm.__all__)
    with pytest.raises(AttributeError):
        tiltlm.nothing  # noqa: B018


def test_versions_agree():
    root = Path(tiltlm.__file__).parents[2]
    assert f'version = "{tiltlm.__version__}"' in (root / "pyproject.toml").read_text()
    assert f"## {tiltlm.__version__}" in (root / "CHANGELOG.md").read_text()


def test_the_readme_names_every_command():
    root = Path(tiltlm.__file__).parents[2]
    text = (root / "README.md").read_text()
    for name in cli.describe():
        assert f"tiltlm {name}" in text, name


def test_help_of_every_command_is_there():
    for name, text in cli.describe().items():
        assert text, name
        assert CliRunner().invoke(cli.app, [name, "--help"]).exit_code == 0
