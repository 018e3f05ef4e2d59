"""What the tests of the command line share."""

import sys

import pytest

from tiltlm.cli import main as cli


@pytest.fixture
def tiltlm_command(capfd, monkeypatch):
    """Calls a command as the shell does: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tiltlm", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output = capfd.readouterr()
        return caught.value.code or 0, output.out, output.err

    return call
