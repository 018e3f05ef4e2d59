"""How a class of tokens is called when people read about it. Knows the vocabulary, no models."""

from __future__ import annotations

from tiltlm.events.vocabulary import Vocabulary

_EXAMPLES = 4
"""Tokens that stand for a cluster."""


def display_name(event: str, ids: list[int], vocabulary: Vocabulary) -> str:
    """What to call a class: its event, or a few of its tokens.

    A cluster has no name, and its event, ``tokens(17, 23, …)``, lists all of its ids; a few of its
    tokens say more.

    Args:
        event: the class, as events are written.
        ids: its tokens, those that represent it best first.
        vocabulary: for the texts.

    >>> vocabulary = Vocabulary((b" cat", b" dog", b" the"))
    >>> display_name("tokens(0, 1)", [1, 0], vocabulary)
    "like ' dog', ' cat'"
    >>> display_name("contains('a')", [0], vocabulary)
    "contains('a')"
    """
    if not event.startswith("tokens("):
        return event
    return "like " + ", ".join(repr(vocabulary.text(i)) for i in ids[:_EXAMPLES])
