"""What the tests of measures share: an edited tiny model, and a folder that `tiltlm tilt` wrote."""

import pytest

from tests.measures.shared import contexts
from tests.tiny import tiny_loaded
from tiltlm.commands.tilt import run_tilt
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel
from tiltlm.realise.editing import edit
from tiltlm.recipes.tilt import recipe_of


@pytest.fixture(scope="module")
def edited():
    loaded = tiny_loaded()
    tilted = edit(loaded, "tilt(contains('o'), 1)", contexts(24))
    merged = tilted.model.merge_and_unload()
    return Pair(tiny_loaded(), LoadedModel(merged, loaded.tokenizer), tilted.target)


@pytest.fixture
def tilted_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    options = {"target": "tilt(contains('o'), 1)", "contexts": "random"}
    run_tilt(recipe_of(str(tmp_path / "base"), options, {}), tmp_path / "out")
    return tmp_path
