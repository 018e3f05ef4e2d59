"""Parse."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tiltlm.errors import EventError
from tiltlm.events.event import Event
from tiltlm.events.expressions import parse
from tiltlm.events.tokens import checked_texts, contains, matches, special, tokens, word

if TYPE_CHECKING:
    pass


def _phrase(*texts: str, **options: bool) -> Event:
    from tiltlm.events.phrase import phrase

    return phrase(*checked_texts("phrase", texts), **options)


def lines(path: str) -> list[str]:
    """The texts in a file: a JSON list (nested as it may be), or one text a line.

    A JSON object is read too if one of its values is a list. For word lists in events:
    ``word(lines('animals.json'))``.

    Raises:
        EventError: there is no such file, or no text in it.
    """
    import json
    from pathlib import Path

    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EventError(f"cannot read the word list: {error}", where=str(path)) from None
    try:
        data = json.loads(content)
    except ValueError:
        data = [line.strip() for line in content.splitlines()]
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), [])
    found = list(dict.fromkeys(_flat(data)))
    if not found:
        raise EventError("there is no text in the word list", where=str(path))
    return found


def _flat(data: object) -> list[str]:
    if isinstance(data, list):
        return [text for item in data for text in _flat(item)]
    return [data] if isinstance(data, str) and data else []


EVENTS: dict[str, Callable[..., Event]] = {
    "contains": contains,
    "matches": matches,
    "word": word,
    "tokens": tokens,
    "special": special,
    "phrase": _phrase,
    "lines": lines,  # type: ignore[dict-item]
}
"""What can be written in an event's text."""


def parse_event(text: str, *, where: str | None = None) -> Event:
    """Read an event from text.

    Raises:
        ExpressionError: the text is no event.
        EventError: it is one that makes no sense, such as a broken pattern.

    >>> str(parse_event("contains('x')|contains('X')"))
    "contains('x') | contains('X')"
    """
    event = parse(text, EVENTS, where=where)
    if not isinstance(event, Event):
        raise EventError(f"{text!r} is no event", where=where, fix="write contains('…'), say")
    return event
