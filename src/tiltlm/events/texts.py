"""The texts that events are written with: checked, or read from a file of words."""

from __future__ import annotations

import json
from pathlib import Path

from tiltlm.errors import EventError
from tiltlm.events.expressions import excerpt, shown
from tiltlm.reading import LIST_BYTES, read_text


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
        raise EventError(f"{name} takes one or more non-empty texts, not {shown(list(texts))}")
    for text in texts:
        if not has_bytes(text):
            raise EventError(
                f"{name} takes texts, and {shown(text)} holds half a character",
                fix="lone bytes are written as '\\udc80' to '\\udcff'",
            )
    return texts


def has_bytes(text: str, *, whole: bool = False) -> bool:
    r"""Whether a text can be written as bytes.

    Args:
        text: in which lone bytes are surrogates (PEP 383); no other surrogates have bytes.
        whole: whether lone bytes are not allowed either.

    >>> has_bytes("a\udc80"), has_bytes("a\udc80", whole=True), has_bytes("a\ud800")
    (True, False, False)
    """
    try:
        text.encode(errors="strict" if whole else "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def checked_option(name: str, option: str, value: object) -> None:
    """Refuse an option of an event that is neither on nor off.

    Args:
        name: of the event.
        option: its name.
        value: what was given for it.

    Raises:
        EventError: it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise EventError(f"{option} of {name} is True or False, not {shown(value)}")


def lines(path: str) -> list[str]:
    """The texts in a file: a JSON list (nested as it may be), or one text a line.

    A JSON object is read too if one of its values is a list; the first such list counts. For word
    lists in events: ``word(lines('animals.json'))``.

    Args:
        path: of the file, in UTF-8.

    Returns:
        the texts in the order of the file, each once.

    Raises:
        EventError: there is no such file, it is no regular file or too large, or there is no text
            in it.
    """
    if not isinstance(path, str | Path):
        raise EventError(f"lines takes the name of a file, not {shown(path)}")
    try:
        content = read_text(Path(path), LIST_BYTES)
    except (OSError, ValueError) as error:
        raise EventError(
            f"cannot read the word list: {excerpt(str(error))}", where=excerpt(str(path))
        ) from None
    try:
        texts = list(dict.fromkeys(_flat(json.loads(content))))
    except ValueError:  # It is no JSON.
        texts = list(dict.fromkeys(filter(None, (line.strip() for line in content.splitlines()))))
    except RecursionError:
        raise EventError("the word list is nested too deeply", where=str(path)) from None
    if not texts:
        raise EventError("there is no text in the word list", where=str(path))
    return texts


def _flat(data: object) -> list[str]:
    """The texts in lists inside one another; of an object, those of its first list."""
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), [])
    if isinstance(data, list):
        return [text for item in data if not isinstance(item, dict) for text in _flat(item)]
    return [data] if isinstance(data, str) and data else []
