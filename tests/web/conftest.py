"""The page as its users have it: `tiltlm ui` in a process of its own, and a browser on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def served(pack, browser, tmp_path_factory):
    """The address of a page over the folder of `pack`, a tiny model with benign changes of it."""
    if find_spec("gradio") is None:
        pytest.skip("no gradio (extra ui)")
    port = free_port()
    cache = tmp_path_factory.mktemp("cache")
    process = subprocess.Popen(
        [sys.executable, "-m", "tiltlm", "ui", "--folder", str(pack), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pack,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TILTLM_CACHE": str(cache)},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("open http://127.0.0.1"), line
        yield line.removeprefix("open ").strip()
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def page(served, browser):
    """The page, opened; whatever it asks of another machine, and every error of it, fails."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    problems: list[str] = []
    ours = ("http://127.0.0.1", "data:", "blob:", "about:")
    opened.on("request", lambda r: None if r.url.startswith(ours) else problems.append(r.url))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    begun = time.monotonic()
    opened.goto(served)
    opened.wait_for_selector("#load-event")
    opened.first_paint_seconds = time.monotonic() - begun
    yield opened
    context.close()
    assert problems == []
