"""Tasks of lm-evaluation-harness, on base and model."""

from __future__ import annotations

from tiltlm.measures.harness import compare_tasks
from tiltlm.measures.suite_parts.work import SuiteWork


def measure_tasks(work: SuiteWork) -> None:
    """Compare base and model on the tasks that were named.

    Raises:
        ConfigError: see `compare_tasks`.
    """
    sources = work.sources
    if not sources.tasks:
        work.missing("tasks", "none named (--tasks NAMES)")
        return
    work.progress.begin("tasks: " + ", ".join(sources.tasks), 2)
    for comparison in compare_tasks(
        work.pair,
        sources.tasks,
        include=sources.include,
        limit=sources.limit,
        advance=work.progress.advance,
    ):
        work.compare(comparison)
