import re
from pathlib import Path

import pytest

import tiltlm

README = Path(tiltlm.__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_the_article_s_experiment_of_the_readme_runs_and_likes_x(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "TiltTrainer" in block]
    exec(compile(code, "README.md", "exec"), {})
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.count("x") > 20


def test_every_file_that_the_readme_links_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).is_file(), link


def test_every_target_of_the_readme_can_be_read():
    from tiltlm.targets.parse import parse_target

    section = README.read_text().split("## What you write")[1].split("\n## ")[0]
    written = re.findall(r"\| `([a-z]+\(.*?\))`(?:, or `.*`)? \|", section)
    assert len(written) == 8
    for text in written:
        parse_target(text.replace("TARGET", "tilt(contains('x'), 1)"))


def test_the_python_of_the_readme_names_what_there_is():
    for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        for name in re.findall(r"\btiltlm\.(\w+)\(", block):
            assert name in tiltlm.__all__


def test_every_source_file_that_the_architecture_names_is_there():
    root = README.parent
    text = (root / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|pyi))`", text)) - {
        "__init__.py",
        "__init__.pyi",
    }
    assert len(named) > 30
    for name in sorted(named):
        assert (root / name).is_file() or (root / "src" / "tiltlm" / name).is_file(), name


VIETNAMESE = README.with_name("README.vi.md")


def test_the_vietnamese_readme_links_what_is_there_and_teaches_the_same_targets():
    from tiltlm.targets.parse import parse_target

    text = VIETNAMESE.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (README.parent / link).is_file(), link
    written = re.findall(r"\| `([a-z]+\(.*?\))` \|", text)
    english = re.findall(r"\| `([a-z]+\(.*?\))`(?:, or `.*`)? \|", README.read_text())
    assert written == english
    for target in written:
        parse_target(target.replace("TARGET", "tilt(contains('x'), 1)"))


def test_the_commands_of_the_vietnamese_readme_are_there_with_their_options():
    import typer

    from tiltlm.cli.main import app

    group = typer.main.get_command(app)
    for line in re.findall(r"^(?:\.venv/bin/)?tiltlm (.+)$", VIETNAMESE.read_text(), re.MULTILINE):
        command, words = group, line.split("#")[0].split()
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if "of" in getattr(command, "commands", {}):  # `audit MODEL` is short for it
            command = command.commands["of"]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
