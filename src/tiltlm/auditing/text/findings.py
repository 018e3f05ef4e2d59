"""Findings of an audit by text: the classes with the most evidence, and what a record says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from tiltlm.auditing.classes.overlap import SAME_CLASS_OVERLAP, overlap_coefficient
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.search import take_distinct
from tiltlm.auditing.text.class_probabilities import hits_and_probabilities
from tiltlm.auditing.text.sample_size import plan_text
from tiltlm.auditing.text.sequential_test import TiltEvidence, confidence_sequence
from tiltlm.auditing.text.suspects import Answer
from tiltlm.auditing.thresholds import MAX_FINDINGS
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.records.audit_text import TextFindingRecord

_UNDECIDED_NATS = 3.0
"""Nats of evidence, a factor of 20, that do not decide between two classes."""


_SIMPLER_JACCARD = 0.5
"""Of classes with about as much evidence the simplest name is taken, if it shares so much with the
first."""


_FIRST_P = "its share is not what the reference's would be, by more than is tolerated"


_LATER_P = (
    "its share, too, is not what the reference's would be; what was found before is not taken out, "
    "and may be why"
)


_LARGEST_LOG = 700.0
"""An e-value is recorded as at most the exponential of this, which is still a finite number."""


def event_classes(vocabulary: Vocabulary, events: Sequence[str]) -> TokenClasses:
    """The events that were asked for, as classes.

    Args:
        vocabulary: of the reference, V tokens.
        events: as text.

    Raises:
        ExpressionError: a text is no event.
        EventError: an event matches no token, or every token.
    """
    parsed = [parse_event(text, where="--event") for text in events]
    rows = [event.mask(vocabulary).numpy().astype(float) for event in parsed]
    names = tuple(str(event) for event in parsed)
    return TokenClasses(names, ("event",) * len(names), sparse.csr_matrix(np.stack(rows)))


def clearest_classes(evidence: TiltEvidence, classes: TokenClasses, decided_at: float) -> list[int]:
    """The classes with the most evidence, none of which is mostly another.

    A class with a simpler name takes the place of one with about as much evidence, but none that is
    not decided takes the place of one that is.

    Args:
        evidence: of K classes.
        classes: K of them.
        decided_at: natural logarithm of the e-value from which on a class is decided.

    Returns:
        at most `MAX_FINDINGS` indices, the class with the most evidence first.
    """
    token_sets: dict[int, set[int]] = {}

    def tokens(index: int) -> set[int]:
        if index not in token_sets:
            token_sets[index] = set(classes.token_ids(index))
        return token_sets[index]

    def alike(later: int, found: int) -> bool:
        return overlap_coefficient(tokens(later), tokens(found)) >= SAME_CLASS_OVERLAP

    log_e = evidence.largest_log_e

    def simplest(index: int) -> int:
        least = log_e[index] - _UNDECIDED_NATS
        if log_e[index] >= decided_at:
            least = max(least, decided_at)
        return classes.simplest(index, log_e >= least, _SIMPLER_JACCARD)

    order = (int(index) for index in np.argsort(-log_e, kind="stable"))
    return take_distinct(order, alike, most=MAX_FINDINGS, simplify=simplest)


def finding_records(
    evidence: TiltEvidence,
    classes: TokenClasses,
    answers: Sequence[Answer],
    reader: LogitReader,
    decided_at: float,
    rate: float,
) -> list[TextFindingRecord]:
    """What a record says of the classes with the most evidence.

    Args:
        evidence: of K classes.
        classes: K of them.
        answers: that strengths are estimated from.
        reader: of the reference.
        decided_at: natural logarithm of the e-value from which on a class is decided.
        rate: p-value of a class whose e-value is just that.

    Returns:
        records, the class with the most evidence first.
    """
    indices = clearest_classes(evidence, classes, decided_at)
    selected = TokenClasses(
        tuple(classes.names[i] for i in indices),
        tuple(classes.kinds[i] for i in indices),
        classes.members[indices],
    )
    pairs = list(hits_and_probabilities(reader, answers, selected))
    hits, probabilities = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    records = []
    for column, index in enumerate(indices):
        strength, interval = confidence_sequence(hits[:, column], probabilities[:, column])
        token_ids = classes.token_ids(index)
        log_e = float(evidence.largest_log_e[index])
        records.append(
            TextFindingRecord(
                event=classes.names[index],
                tokens=len(token_ids),
                token_ids=token_ids,
                hits=int(evidence.hits[index]),
                expected=float(evidence.expected[index]),
                strength_nats=strength,
                interval=interval,
                tolerance_nats=float(evidence.tolerance[index]),
                e_value=float(np.exp(min(_LARGEST_LOG, evidence.log_e[index]))),
                p=min(1.0, rate * float(np.exp(decided_at - log_e))),
                p_means=_LATER_P if column else _FIRST_P,
            )
        )
    return records


def least_tokens(findings: Sequence[TextFindingRecord], tokens: int, error: float) -> int:
    """Tokens that Wald's bound gives for the first finding, had its class alone been tested.

    Args:
        findings: at least one.
        tokens: that were read.
        error: α of the audit.
    """
    first = findings[0]
    if not first.strength_nats:
        return tokens
    mass = min(max(first.expected / max(tokens, 1), 1e-9), 1 - 1e-9)
    return plan_text(first.strength_nats, mass, error).least
