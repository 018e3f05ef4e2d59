"""The suite of ``tiltlm measure``: its parts in order, and what was not measured, with the reason.

How much is measured is in `Sizes`, and what comes of it in `Measured`.
"""

from __future__ import annotations

from collections.abc import Callable

from tiltlm.measures.pair import Pair
from tiltlm.measures.suite_parts.contexts import measure_contexts
from tiltlm.measures.suite_parts.persistence import measure_persistence
from tiltlm.measures.suite_parts.samples import measure_samples
from tiltlm.measures.suite_parts.sentences import measure_sentences
from tiltlm.measures.suite_parts.tasks import measure_tasks
from tiltlm.measures.suite_parts.work import SuiteWork
from tiltlm.measures.suite_sizes import Measured, Sizes, Sources
from tiltlm.progress import NoProgress, Progress
from tiltlm.statistics.comparisons import adjust
from tiltlm.stopwatch import Stopwatch

PARTS: dict[str, Callable[[SuiteWork], None]] = {
    "contexts": measure_contexts,
    "samples": measure_samples,
    "pairs": measure_sentences,
    "tasks": measure_tasks,
    "persistence": measure_persistence,
}
"""The parts by the names under which their seconds are told."""


def measure_pair(
    pair: Pair,
    sizes: Sizes,
    sources: Sources,
    *,
    seed: int = 0,
    key: str | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measure a model against its base.

    Args:
        pair: model and base; effects need its target's event.
        sizes: how much is read and drawn.
        sources: local files, and tasks.
        seed: of contexts and draws.
        key: of the base's weights, to keep its samples in the cache by; None to keep none.
        progress: told of each part.

    Raises:
        ConfigError: a file is damaged, or a task cannot be run.
        MeasurementError: logits that are not numbers.
    """
    work = SuiteWork(pair, sizes, sources, seed=seed, key=key, progress=progress or NoProgress())
    watch = Stopwatch()
    for name, measure_part in PARTS.items():
        measure_part(work)
        watch.lap(name)
    work.measured.comparisons = adjust(work.measured.comparisons)
    work.measured.seconds = watch.seconds
    return work.measured
