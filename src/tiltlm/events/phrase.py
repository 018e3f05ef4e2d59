"""Phrases: events that depend on the bytes of the context so far.

However a text is cut into tokens, a token is in the event exactly where its bytes complete a
phrase. Aho–Corasick over bytes (the library pyahocorasick) reads the context; which tokens
complete a phrase from a state is worked out when a state is first met, and kept.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import EventError
from tiltlm.events.automaton import State
from tiltlm.events.event import BoundEvent, Event
from tiltlm.events.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch


_MARK = "\xff"
"""Stands where a word may begin, between bytes (as latin-1) of texts and of phrases.

No UTF-8 text has this byte; where a broken one does, it is read as 0xFE, which none has either.
"""


@dataclass(frozen=True)
class _Phrase(Event):
    phrases: tuple[str, ...]
    ignore_case: bool
    whole: bool

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        raise EventError(
            f"{self} depends on the context, so it is no fixed list of tokens",
            fix="use contains or word where one token decides",
        )

    def texts(self) -> tuple[str, ...]:
        return self.phrases

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        return BoundPhrases(self, vocabulary)

    def __str__(self) -> str:
        inside = ", ".join(map(repr, self.phrases))
        options = [f"{n}=True" for n in ("ignore_case", "whole") if getattr(self, n)]
        return f"phrase({', '.join([inside, *options])})"


def phrase(*texts: str, ignore_case: bool = False, whole: bool = False) -> Event:
    """Tokens whose bytes complete one of ``texts``, given the bytes of the context before them.

    Args:
        texts: any text, over as many tokens as it takes.
        ignore_case: of ASCII letters.
        whole: only where the phrase begins a word: at the start of the text, or after a byte that
            is no ASCII letter, digit or underscore and no part of another character. (Where it
            ends cannot be asked, since the next byte is not there yet.)

    >>> vocabulary = Vocabulary((b"a", b" test", b"ament", b"a testament"))
    >>> event = phrase("a testament").bind(vocabulary)
    >>> event.mask_at(event.read([0, 1])[-1]).tolist()
    [False, False, True, True]
    """
    if not texts or any(not isinstance(text, str) or not text for text in texts):
        raise EventError(f"phrase takes one or more non-empty texts, not {texts!r}")
    return _Phrase(tuple(dict.fromkeys(texts)), ignore_case, whole)


class BoundPhrases(BoundEvent):
    """Phrases over one vocabulary; a state is a node of the automaton.

    Raises:
        EventError: no token sequence can complete a phrase, as the vocabulary lacks its bytes.
    """

    def __init__(self, event: _Phrase, vocabulary: Vocabulary) -> None:
        self.text = str(event)
        self.size = len(vocabulary)
        mark = _marked if event.whole else str
        tokens = [t.lower() if event.ignore_case else t for t in vocabulary.tokens]
        for index in vocabulary.special_ids:
            tokens[index] = b""  # control tokens are not text
        self._tokens = [mark(t.decode("latin-1")) for t in tokens]
        patterns = [t.encode("utf-8", errors="surrogateescape") for t in event.phrases]
        patterns = [p.lower() if event.ignore_case else p for p in patterns]
        there = set(b"".join(tokens))
        reachable = [mark(p.decode("latin-1")) for p in patterns if set(p) <= there]
        if not reachable:
            raise EventError(f"no text of this vocabulary completes {self.text}")
        if event.whole:
            reachable = [_MARK + p.removesuffix(_MARK) for p in reachable]
        self._build(reachable)
        # A text begins as if after a line break, so that a phrase can begin it.
        self._start = self._step(0, _MARK) if event.whole else 0
        order = sorted(range(self.size), key=lambda i: self._tokens[i])
        self._order, self._sorted = order, [self._tokens[i] for i in order]
        self._moves: dict[tuple[int, int], int] = {}
        self._masks: dict[int, torch.Tensor] = {}
        self._inside: torch.Tensor | None = None

    def _build(self, patterns: list[str]) -> None:
        """Take nodes, edges and failure links out of the library's automaton."""
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for pattern in patterns:
            automaton.add_word(pattern, len(pattern))
        automaton.make_automaton()
        nodes, edges, links = automaton.dump()
        place = {node: number for number, (node, _) in enumerate(nodes)}
        self._ends = [bool(end) for _, end in nodes]
        self._next: list[dict[str, int]] = [{} for _ in nodes]
        for origin, label, goal in edges:
            self._next[place[origin]][label.decode("latin-1")] = place[goal]
        self._fail = [0] * len(nodes)
        for origin, goal in links:
            self._fail[place[origin]] = place[goal]
        root = (set(range(len(nodes))) - {g for n in self._next for g in n.values()}).pop()
        assert root == 0

    @property
    def depends_on_context(self) -> bool:
        """Yes: that is what phrases are for."""
        return True

    def start(self) -> State:
        """Before the text."""
        return self._start

    def advance(self, state: State, token: int) -> State:
        """The node after a token's bytes."""
        assert isinstance(state, int)
        key = (state, token)
        if key not in self._moves:
            self._moves[key] = self._step(state, self._tokens[token])
        return self._moves[key]

    def _step(self, node: int, data: str) -> int:
        for byte in data:
            while node and byte not in self._next[node]:
                node = self._fail[node]
            node = self._next[node].get(byte, 0)
        return node

    def _completes(self, data: str) -> bool:
        """Whether a phrase ends somewhere inside the bytes, read from the root."""
        node = 0
        for byte in data:
            node = self._step(node, byte)
            probe = node
            while probe:
                if self._ends[probe]:
                    return True
                probe = self._fail[probe]
        return False

    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean: the tokens that complete a phrase from here."""
        import torch

        assert isinstance(state, int)
        if self._inside is None:
            self._inside = torch.tensor([self._completes(token) for token in self._tokens])
        if state not in self._masks:
            mask = self._inside.clone()
            node = state
            while node:
                self._mark(node, 0, self.size, 0, mask)
                node = self._fail[node]
            self._masks[state] = mask
        return self._masks[state]

    def _mark(self, node: int, low: int, high: int, depth: int, mask: torch.Tensor) -> None:
        """Mark the tokens, sorted places low to high, that lead from a node to a phrase's end."""
        for byte, goal in self._next[node].items():
            place = ord(byte)
            first = bisect_left(self._sorted, place, low, high, key=lambda t: _at(t, depth))
            last = bisect_left(self._sorted, place + 1, first, high, key=lambda t: _at(t, depth))
            if first == last:
                continue
            if self._ends[goal]:
                mask[self._order[first:last]] = True
            else:
                self._mark(goal, first, last, depth + 1, mask)


def _at(token: str, depth: int) -> int:
    """The letter at a depth, −1 past the end: shorter tokens sort first."""
    return ord(token[depth]) if depth < len(token) else -1


def _marked(text: str) -> str:
    """The text with a mark after each byte after which a word may begin.

    >>> _marked("a, b").replace(_MARK, "|")
    'a,| |b'
    """
    text = text.replace(_MARK, "\xfe")
    return re.sub(r"[^A-Za-z0-9_\x80-\xff]", lambda found: found[0] + _MARK, text)
