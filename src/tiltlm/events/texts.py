"""The texts that events are written with: checked, or read from a file of words."""

from __future__ import annotations

import json
from pathlib import Path

from tiltlm.errors import EventError


def checked_texts(name: str, given: tuple[str | list[str], ...]) -> tuple[str, ...]:
    """The texts that an event was called with, lists among them laid out flat.

    Args:
        name: the event's name, for the error.
        given: the call's arguments: texts, or lists of texts as `lines` gives them.

    Raises:
        EventError: there is no text, one is empty, or one is no text.

    >>> checked_texts("contains", ("a", ["b", "c"]))
    ('a', 'b', 'c')
    """
    texts = tuple(t for item in given for t in (item if isinstance(item, list) else [item]))
    if not texts or any(not isinstance(text, str) or not text for text in texts):
        raise EventError(f"{name} takes one or more non-empty texts, not {texts!r}")
    return texts


def lines(path: str) -> list[str]:
    """The texts in a file: a JSON list (nested as it may be), or one text a line.

    A JSON object is read too if one of its values is a list; the first such list counts. For word
    lists in events: ``word(lines('animals.json'))``.

    Args:
        path: of the file, in UTF-8.

    Returns:
        the texts in the order of the file, each once.

    Raises:
        EventError: there is no such file, or no text in it.
    """
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
    texts = list(dict.fromkeys(_flat(data)))
    if not texts:
        raise EventError("there is no text in the word list", where=str(path))
    return texts


def _flat(data: object) -> list[str]:
    if isinstance(data, list):
        return [text for item in data for text in _flat(item)]
    return [data] if isinstance(data, str) and data else []
