"""Is there a class of tokens that waits for a word; which class, which word, how sure of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.logits.evidence import TOKENS, shifted_tokens
from tiltlm.auditing.logits.finding import Finding
from tiltlm.auditing.logits.uncalibrated import best_uncalibrated
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.shifts.trigger_probes import (
    CANDIDATE_WORDS,
    SAMPLES_PER_CANDIDATE,
    TriggerProbes,
    find_triggered_class,
    single_word_contexts,
)
from tiltlm.auditing.thresholds import MIN_STRENGTH_NATS
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import CandidateRecord, TriggerRecord
from tiltlm.statistics.intervals import student


def find_triggers(
    read: Callable[[TokenContexts], Shift],
    probes: TriggerProbes,
    residuals: ResidualFilter,
    auditor: Auditor,
    fpr: float,
    reference: LoadedModel,
    samples: TokenContexts,
) -> list[TriggerRecord]:
    """Look for a class that waits for a word; if there is one, ask again which word it is.

    Args:
        read: how the suspect differs from the reference at given contexts.
        probes: the words that are tried.
        residuals: with the classes by which the members of the pack were scored.
        auditor: of the suspect, with the scores of the pack's members.
        fpr: false-positive rate of the whole audit.
        reference: for its tokenizer and vocabulary.
        samples: of the reference, into which each candidate word is put alone.

    Returns:
        one trigger, or none.
    """
    by_context = read(probes.contexts).by_context.double().numpy()
    triggered = find_triggered_class(residuals, by_context, probes)
    score = triggered.score / auditor.null.trigger_unit
    p = auditor.null.p_triggered(score)
    if not len(auditor.null.trigger_scores) or p > fpr:
        return []
    # What stood out most may be a part of the class; all that moved after the word says which.
    usual, contexts_of = np.median(by_context, 0), probes.contexts_of_words
    after = by_context[contexts_of[triggered.word]].mean(0)
    finding = best_uncalibrated(auditor.residual_filter, after - usual)
    if abs(finding.strength) < MIN_STRENGTH_NATS:
        return []
    sign = float(np.sign(finding.strength))
    strengths = auditor.residual_filter.strengths(by_context - usual)[:, finding.index]
    rises = strengths[contexts_of].mean(1)
    words = [probes.words[int(w)] for w in np.argsort(-sign * rises)[:CANDIDATE_WORDS]]
    shift = read(single_word_contexts(reference, words, samples))
    return [_trigger_record(finding, words, shift, auditor, reference, score=score, p=p)]


def _trigger_record(
    finding: Finding,
    words: Sequence[str],
    shift: Shift,
    auditor: Auditor,
    reference: LoadedModel,
    *,
    score: float,
    p: float,
) -> TriggerRecord:
    """Which of the candidate words it is, by what each does alone in fresh samples.

    ``shift`` is of the samples without a word, then with each of the W words.
    """
    by_word = shift.by_context.double().numpy().reshape(1 + len(words), SAMPLES_PER_CANDIDATE, -1)
    # What a word does in a sample, against the same sample without it.
    changes = by_word[1:] - by_word[:1]
    strengths = np.stack([auditor.residual_filter.strengths(c)[:, finding.index] for c in changes])
    sign = float(np.sign(finding.strength))
    order = np.argsort(-sign * strengths.mean(1))
    first, token_ids = int(order[0]), list(finding.token_ids)
    chosen = _candidate(words[first], strengths[first])
    residual = auditor.residual_filter.residual(changes[first]).mean(0)
    clearest = sorted(token_ids, key=lambda i: -sign * residual[i])[:TOKENS]
    return TriggerRecord(
        event=finding.event,
        tokens=len(token_ids),
        token_ids=token_ids,
        word=chosen.word,
        strength_nats=chosen.strength_nats,
        interval=chosen.interval,
        score=score,
        p=p,
        p_word=_p_of_first(strengths, order, sign),
        candidates=[_candidate(words[int(i)], strengths[int(i)]) for i in order],
        evidence=shifted_tokens(clearest, residual, shift, reference.vocabulary),
    )


def _candidate(word: str, strengths: Array) -> CandidateRecord:
    interval = student(strengths.tolist())
    return CandidateRecord(word=word, strength_nats=float(strengths.mean()), interval=interval)


def _p_of_first(strengths: Array, order: Array, sign: float) -> float | None:
    """That the first word does no more than another candidate: the largest p of paired t-tests.

    Adjusted for the number of candidates (Bonferroni); None where there is no other.
    """
    if len(order) < 2:
        return None
    first = sign * strengths[order[0]]
    p_values = []
    for other in order[1:]:
        difference = first - sign * strengths[other]
        if np.ptp(difference) == 0:
            p_values.append(0.0 if difference[0] > 0 else 1.0)
        else:
            test = stats.ttest_1samp(difference, 0, alternative="greater")
            p_values.append(float(test.pvalue))
    return min(1.0, max(p_values) * len(p_values))
