import os
import signal
import subprocess
import sys

import pytest

from tests.web.conftest import ROOT, free_port
from tiltlm.errors import ConfigError
from tiltlm.web.serving import check_open_to_none, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "example.org", "::"])
def test_others_come_in_only_with_a_password(host):
    with pytest.raises(ConfigError, match="others could come in"):
        check_open_to_none(host, share=False, password=None)
    with pytest.raises(ConfigError, match="soon guessed"):
        check_open_to_none(host, share=False, password="short")
    check_open_to_none(host, share=False, password="long enough")


def test_sharing_needs_a_password_on_any_address():
    with pytest.raises(ConfigError, match="others could come in"):
        check_open_to_none("127.0.0.1", share=True, password=None)
    check_open_to_none("127.0.0.1", share=True, password="long enough")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_none(host):
    check_open_to_none(host, share=False, password=None)


def test_without_gradio_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tiltlm.web.serving.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tiltlm\[ui\]'"):
        serve([tmp_path])


def test_the_command_refuses_to_share_before_it_imports_anything_large(
    tmp_path, monkeypatch, capsys
):
    from tiltlm.cli import main as cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(sys, "argv", ["tiltlm", "ui", "--share"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "others could come in" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_page_that_is_closed_says_where_what_it_made_is(tmp_path, number, code):
    pytest.importorskip("gradio")
    options = ["--folder", str(tmp_path), "--port", str(free_port())]
    page = subprocess.Popen(
        [sys.executable, "-m", "tiltlm", "ui", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "300", "PYTHONPATH": str(ROOT / "src")},
    )
    with page:
        assert page.stdout.readline().startswith("open http://127.0.0.1:")
        page.send_signal(number)
        _, told = page.communicate(timeout=30)
    assert page.returncode == code
    assert "the page is closed; what it made is kept" in told
    assert str(tmp_path) in told
    assert "Traceback" not in told
