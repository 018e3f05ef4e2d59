"""`tiltlm measure`, the Python function behind the command: open, measure, record, page."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from tiltlm.errors import ConfigError
from tiltlm.files import check_out, staged, write_json, write_text
from tiltlm.measures.opening import open_pair
from tiltlm.measures.suite import measure_pair
from tiltlm.measures.suite_sizes import SUITES, Sizes, Sources
from tiltlm.models.fingerprints import fingerprint
from tiltlm.progress import Progress
from tiltlm.records.measure import MeasureRecord
from tiltlm.versions import versions


def run_measure(
    model: str,
    out: Path | None = None,
    *,
    against: str | None = None,
    target: str | None = None,
    suite: str | Sizes = "quick",
    sources: Sources | None = None,
    on_tokens: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> MeasureRecord:
    """Measure what was done to a model.

    Args:
        model: as for `load`; also a folder that ``tiltlm tilt`` wrote, ``decode`` included.
        out: a new folder for ``measure.json`` and ``measure.html``; None to write nothing.
        against: the base; by default the one that the model's label names.
        target: whose event is measured; by default the label's.
        suite: ``quick``, ``full``, or sizes.
        sources: local files, and tasks.
        on_tokens: draw so many tokens on, for the hit rate of each hundred; full draws 2,000.
        seed: of contexts and draws.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin = time.monotonic()
    if isinstance(suite, str) and suite not in SUITES:
        raise ConfigError(f"no such suite: {suite!r}", fix="one of " + ", ".join(SUITES))
    if out is not None:
        check_out(out)
    sizes = SUITES[suite] if isinstance(suite, str) else suite
    if on_tokens is not None:
        sizes = replace(sizes, on=max(sizes.on, 4), on_tokens=on_tokens)
    pair, base_name, label = open_pair(model, against, target)
    key = fingerprint(pair.base.model)
    loading = time.monotonic() - begin
    found = measure_pair(pair, sizes, sources or Sources(), seed=seed, key=key, progress=progress)
    bound = pair.target
    constant = bound is not None and not bound.shifts_vary
    strengths = (bound.strengths if bound is not None and constant else None) or []
    record = MeasureRecord(
        model=model,
        base={"name": base_name, "sha256": key},
        suite=suite if isinstance(suite, str) else "own sizes",
        target=None if bound is None else bound.text,
        by=None if label is None else label.by,
        event=" | ".join(e.text for e in bound.events) if bound and bound.events else None,
        wished_strength=strengths[0] if len(strengths) == 1 else None,
        shares_body=pair.shares_body,
        seed=seed,
        versions=versions(),
        **{name: getattr(found, name) for name in _FOUND},
        seconds={**found.seconds, "loading": loading, "total": time.monotonic() - begin},
    )
    if out is not None:
        from tiltlm.report.measure_page import render_measure

        with staged(out) as folder:
            folder.mkdir(parents=True)
            write_json(folder / "measure.json", record.model_dump(mode="json"))
            write_text(folder / "measure.html", render_measure(record))
    return record


_FOUND = (
    "effects",
    "languages",
    "buckets",
    "drawn",
    "on",
    "comparisons",
    "items",
    "survivals",
    "moved",
    "heat",
    "missing",
)
