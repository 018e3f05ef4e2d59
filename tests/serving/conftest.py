"""A base on disk with a tilt of it, for what is exported, served and verified."""

import pytest

from tests.cli.conftest import tiltlm_command  # noqa: F401  (a fixture)
from tests.tiny import worded_loaded
from tiltlm.commands.tilt import run_tilt
from tiltlm.recipes.tilt import recipe_of

TARGET = "tilt(contains('o'), 2)"


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A folder with ``base``, its tilt by edit (an adapter), and by decoding."""
    folder = tmp_path_factory.mktemp("lab")
    loaded = worded_loaded()
    loaded.model.save_pretrained(folder / "base")
    loaded.tokenizer.save_pretrained(folder / "base")
    for by in ("edit", "decode"):
        options = {"target": TARGET, "by": by, "contexts": "own:40"}
        run_tilt(recipe_of(str(folder / "base"), options, {}), folder / by)
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path_factory.getbasetemp() / "serving-cache"))
