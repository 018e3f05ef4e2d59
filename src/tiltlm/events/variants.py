"""What a text in an event stands for: its variants in case and leading space, and its accidents.

``word('possible')`` leaves " Possible" out, and ``contains('possible')`` catches "impossible":
both are better seen before anything is done than after.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiltlm.events.event import Event
from tiltlm.events.vocabulary import Vocabulary


@dataclass(frozen=True)
class Variant:
    """One way to write a text.

    Attributes:
        text: with its case and its leading space.
        token: its id, or None where it is no single token.
        inside: whether that token is in the event; None without one.
    """

    text: str
    token: int | None
    inside: bool | None


def variants(event: Event, vocabulary: Vocabulary) -> list[Variant]:
    """Each text of an event as it is, lower, capitalised and upper, with and without a space.

    >>> from tiltlm.events.tokens import word
    >>> v = Vocabulary((b"he", b" he", b"He", b"the"))
    >>> [(one.text, one.inside) for one in variants(word("he"), v) if one.token is not None]
    [('he', True), (' he', True), ('He', False)]
    """
    index = {token: place for place, token in reversed(list(enumerate(vocabulary.tokens)))}
    bound = event.bind(vocabulary)
    mask = bound.mask_at(bound.start())
    found: dict[str, Variant] = {}
    for text in event.texts():
        bare = text.strip()
        for form in (text, bare, bare.lower(), bare.capitalize(), bare.upper()):
            for written in (form, " " + form.lstrip()):
                token = index.get(written.encode())
                inside = None if token is None else bool(mask[token])
                found.setdefault(written, Variant(written, token, inside))
    return list(found.values())


def accidents(event: Event, vocabulary: Vocabulary) -> list[int]:
    """Tokens of the event in which a text of it has a letter right before or right after it.

    >>> from tiltlm.events.tokens import contains
    >>> accidents(contains("possible"), Vocabulary((b" possible", b" impossible", b"a")))
    [1]
    """
    bound = event.bind(vocabulary)
    inside = bound.mask_at(bound.start()).nonzero().flatten().tolist()
    texts = [text.strip().casefold() for text in event.texts() if text.strip()]
    found = []
    for token in inside:
        written = vocabulary.texts[token].casefold()
        places = [(written.find(text), len(text)) for text in texts if text in written]
        if any(
            written[max(0, begin - 1) : begin].isalpha()
            or written[begin + size : begin + size + 1].isalpha()
            for begin, size in places
        ):
            found.append(token)
    return found
