"""Is there a class of tokens that waits for a word; which class, which word, how sure of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.logits.evidence import shifted_tokens
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
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import CandidateRecord, TriggerRecord
from tiltlm.statistics.intervals import student

TOKENS = 10


def find_triggers(
    read: Callable[[TokenContexts], Shift],
    probes: TriggerProbes,
    outside: ResidualFilter,
    auditor: Auditor,
    fpr: float,
    reference: LoadedModel,
    samples: TokenContexts,
    vocabulary: Vocabulary,
) -> list[TriggerRecord]:
    """Look for a class that waits for a word; if there is one, ask again which word it is.

    Args:
        read: how the suspect differs from the reference at some contexts.
        probes: the words that are tried.
        outside: with the hypotheses that the null was scored by.
        auditor: with the null's scores.
        fpr: false-positive rate of the whole audit.
        reference: for its tokenizer.
        samples: of the reference, into which candidates are put alone.
        vocabulary: for texts.
    """
    by_context = read(probes.contexts).by_context.double().numpy()
    found = find_triggered_class(outside, by_context, probes)
    score = found.score / auditor.trigger_unit
    p = auditor.p_value(score)
    if p > fpr:
        return []
    # What stood out most may be a part of the class; all that moved after the word says which.
    ordinary = np.median(by_context, 0)
    class_ = auditor.best_uncalibrated(
        by_context[probes.contexts_of_words[found.word]].mean(0) - ordinary
    )
    if abs(class_.strength) < MIN_STRENGTH_NATS:
        return []
    outside, sign = auditor.residual_filter, float(np.sign(class_.strength))
    rises = outside.strengths(by_context - ordinary)[:, class_.index][
        probes.contexts_of_words
    ].mean(1)
    words = [probes.words[int(w)] for w in np.argsort(-sign * rises)[:CANDIDATE_WORDS]]
    again = read(single_word_contexts(reference, words, samples))
    shifts = again.by_context.double().numpy().reshape(1 + len(words), SAMPLES_PER_CANDIDATE, -1)
    # What a word does in a sample, against the same sample without it.
    changes = shifts[1:] - shifts[:1]
    of_word = np.stack([outside.strengths(c)[:, class_.index] for c in changes])
    order = np.argsort(-sign * of_word.mean(1))
    best, ids = int(order[0]), list(class_.token_ids)
    chosen = _candidate(words[best], of_word[best])
    clear = outside.residual(changes[best]).mean(0)
    return [
        TriggerRecord(
            event=class_.event,
            tokens=len(ids),
            token_ids=ids,
            word=chosen.word,
            strength_nats=chosen.strength_nats,
            interval=chosen.interval,
            score=score,
            p=p,
            p_word=_surer(of_word, order, sign),
            candidates=[_candidate(words[int(i)], of_word[int(i)]) for i in order],
            evidence=shifted_tokens(
                sorted(ids, key=lambda i: -sign * clear[i])[:TOKENS], clear, again, vocabulary
            ),
        )
    ]


def _candidate(word: str, strengths: Array) -> CandidateRecord:
    interval = student(strengths.tolist())
    return CandidateRecord(word=word, strength_nats=float(strengths.mean()), interval=interval)


def _surer(of_word: Array, order: Array, sign: float) -> float | None:
    """How sure it is that the first does more than each other candidate: the worst p."""
    if len(order) < 2:
        return None
    first = sign * of_word[order[0]]
    ps = []
    for other in order[1:]:
        difference = first - sign * of_word[other]
        if np.ptp(difference) == 0:
            ps.append(0.0 if difference[0] > 0 else 1.0)
        else:
            ps.append(float(stats.ttest_1samp(difference, 0, alternative="greater").pvalue))
    return min(1.0, max(ps) * len(ps))
