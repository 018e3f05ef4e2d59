"""`tiltlm export`, the Python function behind the command; `serving.export` does it all."""

from __future__ import annotations

from pathlib import Path

from tiltlm.progress import Progress
from tiltlm.records.export import Engine, ExportRecord
from tiltlm.serving.export.exporting import ExportOptions, export


def run_export(
    tilted: str,
    engine: Engine,
    out: Path,
    options: ExportOptions,
    progress: Progress | None = None,
) -> ExportRecord:
    """Write what an engine can use of a tilted model, with its label and ``result.json``.

    Args:
        tilted: a folder of ``tiltlm tilt`` or ``tiltlm run``.
        engine: for which.
        out: a new folder.
        options: how.
        progress: told how far work has come.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    return export(tilted, engine, out, options, progress)
