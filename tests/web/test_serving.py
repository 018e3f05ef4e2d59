import sys

import pytest

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
