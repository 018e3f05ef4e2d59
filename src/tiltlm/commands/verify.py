"""`tiltlm verify`, the Python function behind the command: verify, then write record and page."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tiltlm.claims import claimed_new
from tiltlm.commands.output import write_record
from tiltlm.progress import Progress
from tiltlm.records.verify import VerifyRecord
from tiltlm.serving.verify.verifying import VerifyOptions, verify


def run_verify(
    served: str,
    options: VerifyOptions,
    out: Path | None = None,
    progress: Progress | None = None,
) -> VerifyRecord:
    """Tell whether the tilt of a label is what a server serves; write what was found.

    Args:
        served: as for `verify`.
        options: what it should be serving, and how to ask.
        out: a new folder for ``result.json`` and ``verify.html``; None to write nothing.
        progress: told how far work has come.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    with claimed_new(out) if out else nullcontext() as folder:
        record = verify(served, options, progress)
        if folder is not None:
            # The page draws its figure with matplotlib, which is slow to import.
            from tiltlm.report.verify_page import render_verify

            write_record(folder, record, {"verify.html": render_verify(record)})
    return record
