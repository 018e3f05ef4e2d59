"""No tilt of an event stronger than ε on average: what "nothing found" does not say.

Two one-sided tests (Schuirmann 1987): an event is certified where a confidence interval of its mean
strength lies wholly within ±ε. The strength is what any tilt does, by whatever means: the rise of
the event's log-odds, weighted by the reference's p(1 − p), over contexts, which are the unit of
replication. A tilt may sit in few contexts, of which a sample may have none, so the interval is one
that reckons with what was not seen (`bounded_ratio`). It assumes that contexts are independent, and
that no context's own strength lies beyond a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.measures.effects import strength_parts
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.records.audit import CertificateRecord
from tiltlm.records.base import Interval
from tiltlm.statistics.bounded import bounded_ratio
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import parse_target

_LARGEST_NATS = 1.0
"""The bound on the strength in a single context, where no context that was read has half of it."""

_BEYOND = 2.0
"""Elsewhere the bound is so many times the strongest of the contexts that were read."""


def check_certifiable(
    pair: Pair, contexts: TokenContexts, events: Sequence[str], within: float, error: float
) -> list[BoundTarget]:
    """Refuse before the long reading what could never be certified.

    Args:
        pair: reference and suspect.
        contexts: where the strength would be measured.
        events: as text.
        within: ε, nats.
        error: of all certificates together.

    Returns:
        for each event a target that tilts it.

    Raises:
        ConfigError: the suspect decodes to a target; or there are so few contexts that not even the
            reference itself could be certified.
        ExpressionError: a text is no event.
        EventError: an event matches no token, or every token.
    """
    if not events:
        return []
    if pair.decodes:
        raise ConfigError(
            "a suspect that decodes to a target is what the target says: nothing to certify",
            where="--event",
            fix="read its target",
        )
    needed = fewest_contexts(within, error / len(events))
    if len(contexts) < needed:
        raise ConfigError(
            f"{len(contexts)} contexts certify no event within {within:g} nats: a tilt could sit "
            f"in contexts that were not read; of {needed} contexts enough would show",
            where="--event",
            fix=f"read more, --contexts own:{2 * needed} without a pack, or make --within larger",
        )
    # The strength of these targets plays no part: they are bound for their events' states.
    targets = [parse_target(f"tilt({event}, 1.0)", where="--event") for event in events]
    return [target.bind(pair.vocabulary, pair.base.tokenizer) for target in targets]


def fewest_contexts(within: float, error: float) -> int:
    """Contexts of which a suspect that is its reference can just be certified; at least 2.

    Args:
        within: ε, nats.
        error: of one certificate.

    >>> fewest_contexts(0.1, 0.05), fewest_contexts(0.1, 0.01)
    (29, 44)
    """
    if within >= _LARGEST_NATS:
        return 2
    return max(2, math.ceil(math.log(error) / math.log1p(-within / _LARGEST_NATS)))


def certify_events(
    pair: Pair, contexts: TokenContexts, events: Sequence[str], within: float, error: float
) -> list[CertificateRecord]:
    """Certify events, or say that they cannot be certified.

    Args:
        pair: reference and suspect.
        contexts: where the strength is measured.
        events: as text.
        within: ε, nats.
        error: chance that any event is certified whose mean strength is ε or more; it is divided
            among the events (Bonferroni).

    Returns:
        one record for each of ``events``.

    Raises:
        ConfigError, ExpressionError, EventError: as for `check_certifiable`.
    """
    targets = check_certifiable(pair, contexts, events, within, error)
    return [
        _certificate(pair, contexts, event, target, within, error / len(events))
        for event, target in zip(events, targets, strict=True)
    ]


def _certificate(
    pair: Pair,
    contexts: TokenContexts,
    event: str,
    target: BoundTarget,
    within: float,
    error: float,
) -> CertificateRecord:
    metrics = read_token_metrics(Pair(pair.base, pair.model, target), contexts)
    tops, weights = (np.array(parts) for parts in strength_parts(metrics, "mass_base"))
    told = weights > 0  # Where the event is impossible or certain a context tells nothing of it.
    strength: float | None = None
    interval: Interval | None = None
    largest = _LARGEST_NATS
    if told.any() and np.isfinite(tops).all():
        strength = float(tops.sum() / weights.sum())
        strongest = float(np.abs(tops[told] / weights[told]).max())
        largest = max(_LARGEST_NATS, _BEYOND * strongest)
        interval = bounded_ratio(tops[told].tolist(), weights[told].tolist(), largest, error)
    certified = interval is not None and -within < interval[0] and interval[1] < within
    return CertificateRecord(
        event=event,
        within_nats=within,
        strength_nats=strength,
        interval=interval,
        error=error,
        largest_nats=largest,
        contexts=int(told.sum()),
        certified=certified,
    )
