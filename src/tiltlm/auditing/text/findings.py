"""Findings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.text.class_probabilities import hits_and_probabilities
from tiltlm.auditing.text.sample_size import plan_text
from tiltlm.auditing.text.sequential_test import TiltEvidence, confidence_sequence
from tiltlm.auditing.text.suspects import Answer
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.records.audit import TextFindingRecord

MOST = 8


_HARDLY = 3.0
"""Nats of evidence, a factor of 20, that do not decide between two classes."""


def event_classes(vocabulary: Vocabulary, events: Sequence[str]) -> TokenClasses:
    """The events that were asked for, as classes."""
    parsed = [parse_event(text, where="--event") for text in events]
    rows = [event.mask(vocabulary).numpy().astype(float) for event in parsed]
    names = tuple(str(event) for event in parsed)
    return TokenClasses(names, ("event",) * len(names), sparse.csr_matrix(np.stack(rows)))


def finding_records(
    evidence: TiltEvidence,
    classes: TokenClasses,
    answers: Sequence[Answer],
    reader: LogitReader,
    times: float,
) -> list[TextFindingRecord]:
    """The classes with the most evidence, none of which is mostly another; p times ``times``."""
    chosen: list[int] = []
    for index in np.argsort(-evidence.log_e):
        ids = set(classes.token_ids(int(index)))
        others = [set(classes.token_ids(c)) for c in chosen]
        if all(len(ids & o) < 0.5 * min(len(ids), len(o)) for o in others):
            near = evidence.log_e >= evidence.log_e[index] - _HARDLY
            chosen.append(classes.simplest(int(index), near, 0.5))
        if len(chosen) == MOST:
            break
    few = TokenClasses(
        tuple(classes.names[c] for c in chosen),
        tuple(classes.kinds[c] for c in chosen),
        classes.members[chosen],
    )
    pairs = list(hits_and_probabilities(reader, answers, few))
    hits, likely = (np.concatenate([p[side] for p in pairs]) for side in (0, 1))
    found = []
    for place, index in enumerate(chosen):
        strength, interval = confidence_sequence(hits[:, place], likely[:, place])
        found.append(
            TextFindingRecord(
                event=classes.names[index],
                tokens=len(classes.token_ids(index)),
                token_ids=classes.token_ids(index),
                hits=int(evidence.hits[index]),
                expected=float(evidence.expected[index]),
                strength_nats=strength,
                interval=interval,
                tolerance_nats=float(evidence.tolerance[index]),
                e_value=float(np.exp(min(700.0, evidence.log_e[index]))),
                p=min(1.0, float(evidence.p[index]) * len(classes) * times),
            )
        )
    return found


def least_tokens(found: Sequence[TextFindingRecord], tokens: int, fpr: float) -> int:
    first = found[0]
    mass = min(max(first.expected / max(tokens, 1), 1e-9), 1 - 1e-9)
    return plan_text(first.strength_nats, mass, fpr).least if first.strength_nats else tokens
