"""Events written as text, read back; the table of all kinds of events.

A new kind of event is entered in `EVENTS`, and can then be written on the command line, in recipes
and inside targets. How text is read at all stands in `expressions`.
"""

from __future__ import annotations

from collections.abc import Callable

from tiltlm.errors import EventError
from tiltlm.events.event import Event
from tiltlm.events.expressions import excerpt, parse
from tiltlm.events.phrase import phrase
from tiltlm.events.texts import lines
from tiltlm.events.tokens import contains, matches, special, tokens, word

EVENTS: dict[str, Callable[..., Event]] = {
    "contains": contains,
    "matches": matches,
    "word": word,
    "tokens": tokens,
    "special": special,
    "phrase": phrase,
    "lines": lines,  # type: ignore[dict-item]
}
"""What can be written in an event's text: from each name to what it builds. `lines` builds no event
but the texts for one."""


def parse_event(text: str, *, where: str | None = None) -> Event:
    """Read an event from text.

    Args:
        text: such as ``contains('x') & ~special()``.
        where: the file or option that it stands in, for errors.

    Raises:
        ExpressionError: the text is no event.
        EventError: it is one that makes no sense, such as a broken pattern.

    >>> str(parse_event("contains('x')|contains('X')"))
    "contains('x') | contains('X')"
    """
    event = parse(text, EVENTS, where=where)
    if not isinstance(event, Event):
        raise EventError(
            f"{excerpt(text)!r} is no event", where=where, fix="write contains('…'), say"
        )
    return event
