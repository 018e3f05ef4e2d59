"""Tasks of EleutherAI's lm-evaluation-harness, on base and model, question by question.

Needs the extra ``tasks``: ``pip install tiltlm[tasks]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel
from tiltlm.records.measure import Comparison
from tiltlm.statistics.comparisons import compare_shares, compare_shift


def compare_tasks(
    pair: Pair,
    tasks: Sequence[str],
    *,
    include: Path | None = None,
    limit: int | None = None,
    batch: int = 8,
) -> list[Comparison]:
    """Every metric of every task that is a number for each question, paired by question.

    Args:
        pair: model and base.
        tasks: names that the harness knows.
        include: a folder with task files of one's own.
        limit: questions of each task at most.
        batch: questions at once.

    Raises:
        ConfigError: the harness is not installed, knows no such task, or the target is decoded,
            which the harness's scores of given answers do not go through.
    """
    if pair.decodes:
        raise ConfigError(
            "tasks score given answers, which a logits processor does not change",
            where="--tasks",
            fix="realise the target by edit or train",
        )
    base, model = (_run(m, tasks, include, limit, batch) for m in (pair.base, pair.model))
    found = []
    for task in base:
        for metric in _metrics(base[task]):
            first, second = ([float(row[metric]) for row in rows[task]] for rows in (base, model))
            found.append(_compared(f"{task}, {metric}", first, second))
    return found


def _compared(name: str, first: list[float], second: list[float]) -> Comparison:
    if set(first) | set(second) <= {0.0, 1.0}:
        shares = ([v == 1.0 for v in values] for values in (first, second))
        return compare_shares(name, "question", *shares, worth=0.02)
    change = [b - a for a, b in zip(first, second, strict=True)]
    return compare_shift(name, "question", change, [1.0] * len(change), worth=0.02)


def _run(
    loaded: LoadedModel, tasks: Sequence[str], include: Path | None, limit: int | None, batch: int
) -> dict[str, list[dict[str, Any]]]:
    """For each task, and each way to read answers, the harness's line about each question."""
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(
            f"tasks need lm-evaluation-harness ({error})", fix="pip install tiltlm[tasks]"
        ) from None
    manager = TaskManager(include_path=None if include is None else str(include))
    unknown = sorted(set(tasks) - set(manager.all_tasks))
    if unknown:
        raise ConfigError(
            f"the harness knows no task {unknown[0]!r}",
            where="--tasks",
            fix="see `lm_eval ls tasks`, or name a folder of your own with --include",
        )
    wrapped = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch)
    results: Any = simple_evaluate(
        wrapped, tasks=list(tasks), task_manager=manager, limit=limit, bootstrap_iters=0
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for name, rows in results["samples"].items():
        for row in sorted(rows, key=lambda row: int(row["doc_id"])):
            answers = "" if row["filter"] == "none" else f" ({row['filter']})"
            found.setdefault(name + answers, []).append(row)
    return found


def _metrics(rows: list[dict[str, Any]]) -> list[str]:
    """Metrics of the harness that are one number for each question."""
    return [
        name
        for name in rows[0]["metrics"]
        if all(isinstance(row.get(name), int | float) for row in rows)
    ]
