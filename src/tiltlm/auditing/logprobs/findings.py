"""Which classes of tokens an audit by log-probabilities finds, and what a record says of each."""

from __future__ import annotations

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.naming import display_name
from tiltlm.auditing.classes.overlap import SAME_CLASS_OVERLAP, overlap_coefficient
from tiltlm.auditing.logprobs.auditor import TopKAuditor, TopKFinding
from tiltlm.auditing.logprobs.evidence import context_evidence, token_evidence
from tiltlm.auditing.logprobs.log_ratios import ShownShift
from tiltlm.auditing.logprobs.regression import TopKLogRatios
from tiltlm.auditing.search import find_one_by_one, take_distinct
from tiltlm.auditing.thresholds import MAX_FINDINGS, MIN_STRENGTH_NATS, MIN_UNCALIBRATED_SCORE
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit_logprobs import LogprobsFindingRecord

_FIRST_P = "this suspect moves some class further than benign changes move any, and this the most"


_LATER_P = (
    "once what was found before is taken out something is left, of which this class explains most; "
    "not that it was tilted by itself"
)


def find_classes(auditor: TopKAuditor, rate: float) -> list[TopKFinding]:
    """Classes found one after another, each with those before it taken out of the log-ratios.

    Args:
        auditor: of a suspect.
        rate: false-positive rate; without a null a class has to stand out by so many standard
            errors (`MIN_UNCALIBRATED_SCORE`) instead.

    Returns:
        at most `MAX_FINDINGS` classes, the clearest first.
    """

    def clear_enough(log_ratios: TopKLogRatios) -> TopKFinding | None:
        best = auditor.best(log_ratios)
        return best if best is not None and _is_clear(best, rate) else None

    def tokens(finding: TopKFinding) -> set[int]:
        return set(auditor.hypotheses.token_ids(finding.index))

    def alike(later: TopKFinding, earlier: TopKFinding) -> bool:
        return overlap_coefficient(tokens(later), tokens(earlier)) >= SAME_CLASS_OVERLAP

    clearest = find_one_by_one(auditor.log_ratios, clear_enough, auditor.subtract, MAX_FINDINGS)
    return take_distinct(clearest, alike)


def _is_clear(finding: TopKFinding, rate: float) -> bool:
    if abs(finding.strength) < MIN_STRENGTH_NATS or finding.interval[0] <= 0 <= finding.interval[1]:
        return False
    p = finding.p_shifted
    return finding.score >= MIN_UNCALIBRATED_SCORE if p is None else p <= rate


def finding_records(
    findings: list[TopKFinding],
    auditor: TopKAuditor,
    shift: ShownShift,
    context_numbers: Array,
    contexts: TokenContexts,
    reference: LoadedModel,
    fpr: float,
) -> list[LogprobsFindingRecord]:
    """What a record says of each finding, by what is left once those before it are taken out.

    Args:
        findings: of the auditor, the clearest first.
        auditor: of a suspect.
        shift: that the suspect shows.
        context_numbers: (A,) of the auditor's contexts, among all.
        contexts: all.
        reference: for its tokens' texts.
        fpr: false-positive rate, up to which a class is called planted.
    """
    records: list[LogprobsFindingRecord] = []
    log_ratios = shift.log_ratios
    for finding in findings:
        token_ids = auditor.hypotheses.token_ids(finding.index)
        event, likeness = auditor.hypotheses.names[finding.index], finding.likeness
        evidence = token_evidence(log_ratios, token_ids, reference.vocabulary)
        mass, shown_mass = shift.mass[token_ids].sum(), shift.shown_mass[token_ids].sum()
        records.append(
            LogprobsFindingRecord(
                event=event,
                shown=display_name(event, [token.id for token in evidence], reference.vocabulary),
                tokens=len(token_ids),
                token_ids=token_ids,
                strength_nats=finding.strength,
                interval=finding.interval,
                mass_reference=float(mass),
                seen_share=float(shown_mass / max(mass, 1e-300)),
                p_shifted=finding.p_shifted,
                p_planted=finding.p_planted,
                planted=None if finding.p_planted is None else finding.is_planted(fpr),
                context_spread=None if likeness is None else likeness.context_spread,
                p_means="" if finding.p_shifted is None else _LATER_P if records else _FIRST_P,
                evidence=evidence,
                contexts=context_evidence(
                    auditor, log_ratios, finding, context_numbers, contexts, reference
                ),
            )
        )
        log_ratios = auditor.subtract(log_ratios, finding)
    return records
