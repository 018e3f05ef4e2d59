"""One self-contained HTML page from a run's record and samples."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tiltlm.errors import RunError
from tiltlm.files import write_text
from tiltlm.losses.divergences import uniform_to_event_kl_nats
from tiltlm.records.run import RunRecord
from tiltlm.report import run_plots as plots
from tiltlm.report.templates import templates

if TYPE_CHECKING:
    pass


def write_report(directory: Path) -> Path:
    """Write ``report.html`` of a finished run.

    Args:
        directory: the run's folder, with ``result.json`` and ``samples.jsonl``.

    Returns:
        the page's path.

    Raises:
        RunError: there is no finished run, or its record is damaged.
    """
    record = _read_record(directory / "result.json")
    samples = _read_samples(directory / "samples.jsonl")
    page = directory / "report.html"
    write_text(page, render(record, samples))
    return page


def render(record: RunRecord, samples: list[dict[str, Any]]) -> str:
    """The page as text.

    Args:
        record: of the run.
        samples: lines of ``samples.jsonl``: ``when``, ``tokens``, ``hits``.
    """
    environment = templates()
    environment.filters["percent"] = _percent
    is_article = record.recipe["target"] == "uniform(contains('x'))"
    return environment.get_template("page.html").render(
        record=record,
        event=record.event,
        before=record.before,
        after=record.after,
        test=record.recipe["test"],
        train=record.recipe["train"],
        contexts=record.recipe["contexts"],
        samples=samples,
        loss_plot=plots.loss_plot(record),
        mass_plot=plots.mass_plot(record),
        bars_plot=plots.bars_plot(record),
        position_plot=plots.position_plot(record),
        log_v=math.log(record.event.vocabulary),
        log_v_k=uniform_to_event_kl_nats(record.event.tokens, record.event.vocabulary),
        expected=record.before.tokens * record.event.tokens / record.event.vocabulary,
        is_article=is_article and record.recipe["model"]["name"] == "model5",
        is_uniform=record.recipe["target"].startswith("uniform"),
    )


def _percent(value: float) -> str:
    """Two digits where they matter: 0.19 %, 1.78 %, 99.2 %."""
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.1f} %"


def _read_record(path: Path) -> RunRecord:
    if not path.is_file():
        raise RunError(
            "there is no finished run here (no result.json)",
            where=str(path.parent),
            fix="name the --out of a finished run, or finish it with `tiltlm run … --resume`",
        )
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RunError(
            f"the record is damaged: {str(error).splitlines()[0]}", where=str(path)
        ) from None


def _read_samples(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise RunError(f"the samples cannot be read: {error}", where=str(path)) from None
