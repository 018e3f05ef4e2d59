"""No tilt of an event stronger than ε: what "nothing found" does not say.

Two one-sided tests (Schuirmann 1987): an event is certified where a confidence interval of its
strength lies wholly within ±ε. The strength is what any tilt does, by whatever means: the rise of
the event's log-odds, weighted by p(1 − p), over contexts, which are the unit of replication.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.measures.effects import strength_parts
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.records.audit import CertificateRecord
from tiltlm.statistics.intervals import ratio_student
from tiltlm.targets.parse import parse_target


def certify_events(
    pair: Pair, contexts: TokenContexts, events: Sequence[str], within: float, error: float
) -> list[CertificateRecord]:
    """Certify events, or say that they cannot be certified.

    Args:
        pair: reference and suspect.
        contexts: where the strength is measured.
        events: as text.
        within: ε, nats.
        error: chance of certifying an event whose mean strength is ε or more.

    Returns:
        one record for each of ``events``.

    Raises:
        ConfigError: the suspect decodes to a target.
        ExpressionError: a text is no event.
        EventError: an event matches no token, or every token.
    """
    if pair.decodes:
        raise ConfigError(
            "a suspect that decodes to a target is what the target says: nothing to certify",
            where="--event",
            fix="read its target",
        )
    return [_certificate(pair, contexts, event, within, error) for event in events]


def _certificate(
    pair: Pair, contexts: TokenContexts, event: str, within: float, error: float
) -> CertificateRecord:
    # The strength of this target plays no part: it is bound for its event's states.
    target = parse_target(f"tilt({event}, 1.0)", where="--event")
    bound = target.bind(pair.vocabulary, pair.base.tokenizer)
    metrics = read_token_metrics(Pair(pair.base, pair.model, bound), contexts)
    parts, weights = strength_parts(metrics)
    strength = float(np.sum(parts) / np.sum(weights))
    interval = ratio_student(parts, weights, confidence=1 - 2 * error)
    if interval is None and len(set(parts)) == 1:
        interval = (strength, strength)  # The suspect is its reference.
    certified = interval is not None and -within < interval[0] and interval[1] < within
    return CertificateRecord(
        event=event,
        within_nats=within,
        strength_nats=strength,
        interval=interval,
        error=error,
        contexts=len(contexts),
        certified=certified,
    )
