"""Tasks of EleutherAI's lm-evaluation-harness, on base and model, question by question.

Needs the extra ``tasks``: ``pip install tiltlm[tasks]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Advance
from tiltlm.records.measure import Comparison
from tiltlm.statistics.comparisons import compare_shares, compare_shift


def compare_tasks(
    pair: Pair,
    tasks: Sequence[str],
    *,
    include: Path | None = None,
    limit: int | None = None,
    batch: int = 8,
    advance: Advance | None = None,
) -> list[Comparison]:
    """Compare base and model on tasks, paired by question.

    Args:
        pair: model and base.
        tasks: names that the harness knows.
        include: a folder with task files of one's own.
        limit: questions of each task at most.
        batch: questions at once.
        advance: told how many of the two models are done.

    Returns:
        a comparison for every metric of every task that is a number for each question.

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
    manager = _manager(tasks, include)
    lines = []
    for number, loaded in enumerate((pair.base, pair.model), 1):
        lines.append(_run(loaded, tasks, manager, limit, batch))
        if advance:
            advance(number)
    comparisons = []
    for task in lines[0]:
        for metric in _metrics(lines[0][task]):
            base, model = ([float(line[metric]) for line in of[task]] for of in lines)
            comparisons.append(_compared(f"{task}, {metric}", base, model))
    return comparisons


def _compared(name: str, base: list[float], model: list[float]) -> Comparison:
    """As shares where the metric is only ever 0 or 1, such as an accuracy, else as a mean."""
    if set(base) | set(model) <= {0.0, 1.0}:
        shares = ([v == 1.0 for v in values] for values in (base, model))
        return compare_shares(name, "question", *shares, worth=0.02)
    change = [after - before for before, after in zip(base, model, strict=True)]
    return compare_shift(name, "question", change, [1.0] * len(change), worth=0.02)


def _manager(tasks: Sequence[str], include: Path | None) -> Any:
    """The harness's index of all tasks there are; it reads some 14,000 files for it."""
    try:
        import lm_eval.models.huggingface  # noqa: F401  (what it lacks is told here as well)
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
    return manager


def _run(
    loaded: LoadedModel, tasks: Sequence[str], manager: Any, limit: int | None, batch: int
) -> dict[str, list[dict[str, Any]]]:
    """The harness's line about each question, by task and by the way that answers are read."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    class WithoutBars(HFLM):  # type: ignore[misc]
        """The model, whose bars would be drawn over those of the command line."""

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return super().generate_until(requests, disable_tqdm=True)

    wrapped = WithoutBars(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch)
    with _surroundings_left_alone():
        results: Any = simple_evaluate(
            wrapped, tasks=list(tasks), task_manager=manager, limit=limit, bootstrap_iters=0
        )
    by_task: dict[str, list[dict[str, Any]]] = {}
    for name, lines in results["samples"].items():
        for line in sorted(lines, key=lambda line: int(line["doc_id"])):
            answers = "" if line["filter"] == "none" else f" ({line['filter']})"
            by_task.setdefault(name + answers, []).append(line)
    return by_task


@contextmanager
def _surroundings_left_alone() -> Iterator[None]:
    """Keep the harness from asking git and pip about the folder and the machine.

    It does so after the last question, for a record that is not used here; it takes seconds, and
    git complains on the screen where there is no repository.
    """
    from lm_eval import evaluator

    asked = {"get_git_commit_hash": lambda: None, "add_env_info": lambda _results: None}
    before = {name: getattr(evaluator, name) for name in asked if hasattr(evaluator, name)}
    for name in before:
        setattr(evaluator, name, asked[name])
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(evaluator, name, function)


def _metrics(lines: list[dict[str, Any]]) -> list[str]:
    """Metrics of the harness that are one number for each question."""
    return [
        name
        for name in lines[0]["metrics"]
        if all(isinstance(line.get(name), int | float) for line in lines)
    ]
