"""Findings."""

from __future__ import annotations

from collections.abc import Sequence

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.naming import display_name
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logprobs.auditor import TopKAuditor, TopKFinding
from tiltlm.auditing.logprobs.evidence import token_evidence
from tiltlm.auditing.logprobs.regression import TopKLogRatios
from tiltlm.auditing.logprobs.suspects import (
    LogProbSuspect,
    Place,
    ShownLogProbs,
)
from tiltlm.auditing.thresholds import MAX_FINDINGS, MIN_STRENGTH_NATS, MIN_UNCALIBRATED_SCORE
from tiltlm.errors import ModelError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.progress import Progress
from tiltlm.records.audit import LogprobsFindingRecord, ShiftedContext

_BLOCK = 64


def find_classes(auditor: TopKAuditor, rate: float) -> list[TopKFinding]:
    """Classes one after another; without a null, those that stand out most.

    Args:
        auditor: of a suspect.
        rate: of false positives.
    """
    found: list[TopKFinding] = []
    rest = auditor.log_ratios
    for _ in range(MAX_FINDINGS):
        best = auditor.best(rest)
        if (
            best is None
            or abs(best.strength) < MIN_STRENGTH_NATS
            or (best.p is not None and best.p > rate)
        ):
            break
        if best.interval[0] <= 0 <= best.interval[1]:
            break
        if best.p is None and best.score < MIN_UNCALIBRATED_SCORE:
            break
        rest = auditor.subtract(rest, best)
        ours = set(auditor.hypotheses.token_ids(best.index))
        if not any(_alike(ours, set(auditor.hypotheses.token_ids(f.index))) for f in found):
            found.append(best)
    return found


def _alike(first: set[int], second: set[int]) -> bool:
    return len(first & second) >= 0.5 * min(len(first), len(second))


def ask_suspect(
    observer: LogProbSuspect, places: Sequence[Place], progress: Progress
) -> tuple[list[ShownLogProbs], list[str]]:
    """What is shown, and why it is at fewer places than was asked for."""
    found: list[ShownLogProbs] = []
    for begin in range(0, len(places), _BLOCK):
        try:
            some = observer.observe(places[begin : begin + _BLOCK])
        except KeyboardInterrupt:
            return found, ["This audit is partial: it was interrupted."]
        except ModelError as error:
            if not found:
                raise
            return found, [f"This audit is partial: {error.what}."]
        found += some
        progress.advance(min(begin + _BLOCK, len(places)))
    return found, []


def finding_record(
    named: TopKFinding,
    seen: TopKLogRatios,
    tried: TokenClasses,
    mass: Array,
    inside: Array,
    vocabulary: Vocabulary,
    contexts: list[ShiftedContext],
) -> LogprobsFindingRecord:
    ids = tried.token_ids(named.index)
    evidence = token_evidence(seen, ids, vocabulary)
    return LogprobsFindingRecord(
        event=tried.names[named.index],
        shown=display_name(tried.names[named.index], [t.id for t in evidence], vocabulary),
        tokens=len(ids),
        token_ids=ids,
        strength_nats=named.strength,
        interval=named.interval,
        mass_reference=float(mass[ids].sum()),
        seen_share=float(inside[ids].sum() / max(mass[ids].sum(), 1e-300)),
        p=named.p,
        evidence=evidence,
        contexts=contexts,
    )
