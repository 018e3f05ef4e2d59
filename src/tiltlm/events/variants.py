"""What a text in an event leaves out, and what it catches by accident.

``word('possible')`` leaves " Possible" out: the variants of a text in case and leading space show
that. ``contains('possible')`` catches "impossible" by accident. Both are better seen before
anything is done than after.
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
        token: the id of the token that is this text, or None where no single token is.
        inside: whether that token is in the event; None where there is no such token.
    """

    text: str
    token: int | None
    inside: bool | None


def variants(event: Event, vocabulary: Vocabulary) -> list[Variant]:
    """Each text of an event as it is, lower, capitalised and upper, with and without a space.

    Args:
        event: one that depends on the context is asked at the beginning of a text.
        vocabulary: whose tokens are looked for.

    Returns:
        one for each way of writing, also for those that are no single token; none for an event
        that was not written with texts.

    >>> from tiltlm.events.tokens import word
    >>> vocabulary = Vocabulary((b"he", b" he", b"He", b"the"))
    >>> written = variants(word("he"), vocabulary)
    >>> [(variant.text, variant.inside) for variant in written if variant.token is not None]
    [('he', True), (' he', True), ('He', False)]
    """
    # Where several ids decode to the same bytes, the first of them counts.
    ids = {token: index for index, token in reversed(list(enumerate(vocabulary.tokens)))}
    bound = event.bind(vocabulary)
    mask = bound.mask_at(bound.start())
    by_text: dict[str, Variant] = {}
    for text in event.texts():
        bare = text.strip()
        for form in (text, bare, bare.lower(), bare.capitalize(), bare.upper()):
            for written in (form, " " + form.lstrip()):
                token = ids.get(written.encode(errors="surrogateescape"))
                inside = None if token is None else bool(mask[token])
                by_text.setdefault(written, Variant(written, token, inside))
    return list(by_text.values())


def accidents(event: Event, vocabulary: Vocabulary) -> list[int]:
    """Tokens of an event in which one of its texts is part of a longer word.

    That is so where a letter stands right before or right after the text.

    Args:
        event: one that depends on the context is asked at the beginning of a text.
        vocabulary: whose tokens are looked at.

    Returns:
        ids, in ascending order.

    >>> from tiltlm.events.tokens import contains
    >>> accidents(contains("possible"), Vocabulary((b" possible", b" impossible", b"a")))
    [1]
    """
    bound = event.bind(vocabulary)
    inside = bound.mask_at(bound.start()).nonzero().flatten().tolist()
    texts = [text.strip().casefold() for text in event.texts() if text.strip()]
    return [
        token
        for token in inside
        if any(_is_part_of_a_word(text, vocabulary.texts[token].casefold()) for text in texts)
    ]


def _is_part_of_a_word(text: str, written: str) -> bool:
    """Whether a letter stands beside the first occurrence of a text in a token's text."""
    begin = written.find(text)
    if begin < 0:
        return False
    end = begin + len(text)
    return written[max(0, begin - 1) : begin].isalpha() or written[end : end + 1].isalpha()
