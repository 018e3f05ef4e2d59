"""What the tests of what is written share: the commands that write, and what they read."""

import pytest

from tests.cli.conftest import tiltlm_command  # noqa: F401
from tests.hostile.writers import SMALL, arguments
from tests.tiny import TEXT, tiny_perturbed
from tiltlm.measures import suite_sizes


@pytest.fixture
def writer(base, tmp_path, monkeypatch):
    """The arguments of a command that writes, by its name."""
    monkeypatch.setitem(suite_sizes.SUITES, "quick", SMALL)
    other = tiny_perturbed()
    other.model.save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    (tmp_path / "text.txt").write_text(TEXT * 20)
    return lambda name: arguments(name, tmp_path)
