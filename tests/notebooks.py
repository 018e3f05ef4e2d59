"""The notebooks, run from their text.

``python -m tests.notebooks`` writes each ``notebooks/*.ipynb`` anew from the text beside it, with
what its cells print. The cell that installs, for Colab, is left out of the run, and what libraries
say of themselves out of what is kept.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "notebooks"
MINUTES = 5
"""How long a cell may take."""


def installs(cell: Any) -> bool:
    """Whether a cell is the one that installs."""
    return "%pip" in cell["source"]


def run(name: str) -> Any:
    """A notebook with what its cells print.

    Args:
        name: of the file, without what it ends in.
    """
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(FOLDER / f"{name}.py")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{name}-{number}"
    whole, notebook.cells = notebook.cells, [c for c in notebook.cells if not installs(c)]
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=60 * MINUTES, kernel_name="python3")
        client.execute(cwd=folder)
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.cells = whole
    # Which machine ran it is nobody's matter.
    notebook.metadata.pop("language_info", None)
    return notebook


if __name__ == "__main__":
    import nbformat

    for path in sorted(FOLDER.glob("*.py")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            nbformat.write(run(path.stem), path.with_suffix(".ipynb"))
            print(path.with_suffix(".ipynb"))
