"""`tiltlm measure`, the Python function behind the command: measure, then write record and page."""

from __future__ import annotations

from pathlib import Path

from tiltlm.files import check_out, staged, write_json, write_text
from tiltlm.measures.measuring import measure
from tiltlm.measures.suite_sizes import Sizes, Sources
from tiltlm.progress import Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.measure import MeasureRecord


def run_measure(
    model: str,
    out: Path | None = None,
    *,
    against: str | None = None,
    target: str | None = None,
    suite: str | Sizes = "quick",
    sources: Sources | None = None,
    on_tokens: int | None = None,
    placement: Placement | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> MeasureRecord:
    """Measure what was done to a model, and write what was found.

    Args:
        model: a name for `load`; also a folder that ``tiltlm tilt`` wrote, ``decode`` included.
        out: a new folder for ``measure.json`` and ``measure.html``; None to write nothing.
        against: the base; by default the one that the model's label names.
        target: whose event is measured; by default the label's.
        suite: ``quick``, ``full``, or sizes.
        sources: local files, and tasks.
        on_tokens: draw so many tokens on, for the hit rate of each hundred; full draws 2,000.
        placement: of model and base, as for `load`.
        seed: of contexts and draws.
        progress: told of each part of the work.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    if out is not None:
        check_out(out)
    record = measure(
        model,
        against,
        target,
        suite=suite,
        sources=sources,
        on_tokens=on_tokens,
        placement=placement,
        keep_samples=True,
        seed=seed,
        progress=progress,
    )
    if out is not None:
        _write(out, record)
    return record


def _write(out: Path, record: MeasureRecord) -> None:
    from tiltlm.report.measure_page import render_measure

    with staged(out) as folder:
        folder.mkdir(parents=True)
        write_json(folder / "measure.json", record.model_dump(mode="json"))
        write_text(folder / "measure.html", render_measure(record))
