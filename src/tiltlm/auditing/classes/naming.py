"""Naming."""

from __future__ import annotations

from tiltlm.events.vocabulary import Vocabulary


def display_name(event: str, ids: list[int], vocabulary: Vocabulary) -> str:
    """A cluster has no name; a few of its tokens say more than all of its ids."""
    if not event.startswith("tokens("):
        return event
    return "like " + ", ".join(repr(vocabulary.text(i)) for i in ids[:4])
