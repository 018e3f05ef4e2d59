"""The page of a run, from its record and its samples; computes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tiltlm.errors import RunError
from tiltlm.files import write_text
from tiltlm.records.run import RunRecord
from tiltlm.report import run_plots as plots
from tiltlm.report.rendering import marked, percent, templates
from tiltlm.strings.catalogue import Strings, read_strings

if TYPE_CHECKING:
    from markupsafe import Markup


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
            second_look=second_look(record, strings) if is_article else [],
        )
    )


def read_run(directory: Path) -> RunRecord:
    """The record of a finished run.

    Args:
        directory: the run's folder.

    Raises:
        RunError: there is no finished run, or its record is damaged.
    """
    return _read_record(directory / "result.json")


def second_look(record: RunRecord, strings: Strings) -> list[Markup]:
    """Four figures of the article that need a second look, with those of a run.

    Args:
        record: of a run of the article's experiment, or of one like it.
        strings: of one language.
    """
    event, before, say = record.event, record.before, marked(strings)
    nats = record.uniform_to_event_kl_nats
    return [
        say(
            "run.look_share", tokens=event.tokens, vocabulary=f"{event.vocabulary:,}",
            share=percent(event.tokens / event.vocabulary),
            special=say("run.look_special") if event.special_tokens else "",
        ),
        say(
            "run.look_loss", log_v=f"{math.log(event.vocabulary):.2f}",
            first=f"{record.loss.first:.2f}", repeats=percent(before.repeats_last_token),
            log_v_k="" if nats is None else say("run.look_log_v_k", nats=f"{nats:.2f}"),
        ),
        say(
            "run.look_zero", hits=before.hits, tokens=before.tokens,
            expected=f"{before.tokens * event.tokens / event.vocabulary:.1f}",
            lucky=strings.counted(before.sequences, "token"),
        ),
        say("run.look_epochs", steps=record.steps),
    ]  # fmt: skip


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
