"""Parse."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.event import Event
from tiltlm.events.expressions import parse
from tiltlm.events.parse import EVENTS
from tiltlm.targets.fixed import uniform, weights
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    pass


def targets_table() -> dict[str, Callable[..., Target]]:
    """What can be written in a target's text, besides events."""
    from tiltlm.targets.balance import balance
    from tiltlm.targets.choices import choices
    from tiltlm.targets.match import match
    from tiltlm.targets.mix import mix
    from tiltlm.targets.tilt import tilt
    from tiltlm.targets.trigger import regex
    from tiltlm.targets.when import when

    return {
        "uniform": uniform,
        "weights": weights,
        "tilt": tilt,
        "match": match,
        "balance": balance,
        "choices": choices,
        "mix": mix,
        "when": when,
        "regex": regex,  # type: ignore[dict-item]
    }


def parse_target(text: str, *, where: str | None = None) -> Target:
    """Read a target from text.

    Raises:
        ExpressionError: the text is no target.
        TargetError: it is one that makes no sense.

    >>> str(parse_target("uniform(contains('x') & ~special())"))
    "uniform(contains('x') & ~special())"
    """
    target = parse(text, {**EVENTS, **targets_table()}, where=where)
    if not isinstance(target, Target):
        raise TargetError(
            f"{text!r} is an event, not a target" if isinstance(target, Event) else f"{text!r}",
            where=where,
            fix=f"say which probability it should get: tilt({text}, 1.0), say",
        )
    return target
