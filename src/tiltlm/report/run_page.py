"""The page of a run, from its record and its samples; computes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tiltlm.errors import RunError
from tiltlm.files import write_text
from tiltlm.records.run import RunRecord
from tiltlm.report import run_plots as plots
from tiltlm.report.rendering import marked, templates
from tiltlm.strings.catalogue import read_strings


def write_report(directory: Path, language: str = "en") -> Path:
    """Write ``report.html`` of a finished run.

    Args:
        directory: the run's folder, with ``result.json`` and ``samples.jsonl``.
        language: of the page, such as ``vi``.

    Returns:
        the page's path.

    Raises:
        RunError: there is no finished run, or its record is damaged.
        ConfigError: there is no such language.
    """
    record = _read_record(directory / "result.json")
    samples = _read_samples(directory / "samples.jsonl")
    page = directory / "report.html"
    write_text(page, render_run(record, samples, language))
    return page


def render_run(record: RunRecord, samples: list[dict[str, Any]], language: str = "en") -> str:
    """The page as text.

    Args:
        record: of the run.
        samples: the lines of ``samples.jsonl``: ``when``, ``tokens``, ``hits``.
        language: of the page.
    """
    event, recipe, strings = record.event, record.recipe, read_strings(language)
    is_article = (
        recipe["target"] == "uniform(contains('x'))" and recipe["model"]["name"] == "model5"
    )
    return (
        templates()
        .get_template("run.html")
        .render(
            language=language,
            say=marked(strings),
            counted=strings.counted,
            record=record,
            event=event,
            before=record.before,
            after=record.after,
            test=recipe["test"],
            train=recipe["train"],
            contexts=recipe["contexts"],
            samples=samples,
            loss_plot=plots.loss_plot(record, strings),
            mass_plot=plots.mass_plot(record, strings),
            bars_plot=plots.bars_plot(record, strings),
            position_plot=plots.position_plot(record, strings),
            log_v=math.log(event.vocabulary),
            log_v_k=record.uniform_to_event_kl_nats,
            expected_hits=record.before.tokens * event.tokens / event.vocabulary,
            is_article=is_article,
        )
    )


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
