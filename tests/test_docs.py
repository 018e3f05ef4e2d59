"""The documentation: its reference is what the code says, its commands exist, and it builds."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.reference_pages import PAGES, REFERENCE

DOCS = REFERENCE.parent


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_fresh(page):
    assert (REFERENCE / page).read_text() == PAGES[page](), "python -m tests.reference_pages"


def test_every_command_of_the_guides_is_there_with_its_options():
    import typer

    from tiltlm.cli.main import app

    group = typer.main.get_command(app)
    found = 0
    for path in [*DOCS.glob("guides/*.md"), DOCS / "index.md"]:
        text = path.read_text().replace("\n", "\x00")
        for line in re.findall(r"(?:\x00|`)tiltlm ([^\x00`]+)", text):
            command, words = group, line.split("#")[0].split()
            while hasattr(command, "commands") and words and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            if "of" in getattr(command, "commands", {}):
                command = command.commands["of"]
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, (path.name, line)
            found += 1
    assert found > 15


def test_every_target_and_event_of_the_documentation_can_be_read():
    from tiltlm.events.parse import parse_event
    from tiltlm.targets.parse import parse_target

    for path in [*DOCS.glob("guides/*.md"), DOCS / "index.md"]:
        for target in re.findall(r'--target "([^"]+)"', path.read_text()):
            parse_target(target.replace("{strength}", "1"))
        for event in re.findall(r'(?:--event|tiltlm tokens) "([^"]+)"', path.read_text()):
            parse_event(event)


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_without_a_network(tmp_path):
    if find_spec("mkdocs") is None:
        pytest.skip("no mkdocs (extra docs)")
    offline = ["unshare", "-rn"] if shutil.which("unshare") else []
    if offline and subprocess.run([*offline, "true"], check=False).returncode:
        offline = []
    done = subprocess.run(
        [*offline, sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)],
        cwd=DOCS.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    concepts = (tmp_path / "concepts.html").read_text()
    assert concepts.count("<math") > 10
    assert "$" not in re.sub(r"<(script|style|code|math).*?</\1>", "", concepts, flags=re.DOTALL)
    for page in tmp_path.rglob("*.html"):
        source = r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)'
        fetched = re.findall(source, page.read_text())
        assert fetched == [], page.name
        assert 'class="mermaid"' not in page.read_text()  # its script would be fetched
