"""What is left of the tilt after rounding, merging and further training."""

from __future__ import annotations

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.measures.persistence import (
    SHARES,
    after_fine_tuning,
    after_int8,
    after_merging,
    why_not_mergeable,
)
from tiltlm.measures.suite_parts.work import SuiteWork, first_of


def measure_persistence(work: SuiteWork) -> None:
    """Treat base and model, and measure the strength at a few of the base's own samples."""
    if work.pair.decodes:
        work.missing("persistence", "decoding changes no weights")
        return
    if work.pair.takes_turns:
        work.missing("persistence", "it takes both models in memory (--both-at-once)")
        return
    if not work.sizes.survivors:
        work.missing("persistence", "not in this suite")
        return
    if not work.has_event:
        work.missing("persistence", "it is measured by the event")
        return
    contexts = first_of(work.own_samples, work.sizes.survivors)
    _round_and_merge(work, contexts)
    _fine_tune(work, contexts)
    unmeasured = [s.treatment for s in work.measured.survivals if s.strength is None]
    if unmeasured:
        work.missing(
            f"strength after treatment ({', '.join(dict.fromkeys(unmeasured))})",
            f"the event's log-odds do not exist in the {len(contexts)} own samples",
        )


def _round_and_merge(work: SuiteWork, contexts: TokenContexts) -> None:
    work.progress.begin("int8, merging", 1 + len(SHARES))
    work.measured.survivals.append(after_int8(work.pair, contexts))
    work.progress.advance(1)
    reason = why_not_mergeable(work.pair)
    if reason is not None:
        work.missing("merging", reason)
        return
    for number, survival in enumerate(after_merging(work.pair, contexts), 2):
        work.measured.survivals.append(survival)
        work.progress.advance(number)


def _fine_tune(work: SuiteWork, contexts: TokenContexts) -> None:
    milestones = work.sizes.milestones
    if not milestones:
        work.missing("fine-tuning", "not in this suite")
    elif work.text_pieces is None:
        work.missing("fine-tuning", "no text given (--text FILE)")
    else:
        work.progress.begin("fine-tuning on text, base and model", 2 * max(milestones))
        work.measured.survivals += after_fine_tuning(
            work.pair,
            contexts,
            work.text_pieces,
            milestones,
            work.seed,
            work.progress.advance,
        )
