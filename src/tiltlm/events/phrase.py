"""Phrases: events that depend on the bytes of the context so far.

However a text is cut into tokens, a token is in the event exactly where its bytes complete a
phrase. The context is read by Aho and Corasick's automaton over bytes (1975; the library
pyahocorasick). Which tokens complete a phrase from a state is worked out when the state first
comes up, and kept.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import EventError
from tiltlm.events.automaton import State
from tiltlm.events.event import BoundEvent, Event
from tiltlm.events.expressions import excerpt
from tiltlm.events.texts import checked_option, checked_texts
from tiltlm.events.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch


_MARK = "\xff"
"""Stands wherever a word may begin, among the bytes of texts and of phrases.

Bytes are held as letters of latin-1, one for each. No UTF-8 text has the byte 0xFF; where a broken
one does, it is read as 0xFE, which no UTF-8 text has either.
"""


@dataclass(frozen=True)
class _Phrase(Event):
    phrases: tuple[str, ...]
    ignore_case: bool
    whole: bool

    @property
    def depends_on_context(self) -> bool:
        return True

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        raise EventError(
            f"{excerpt(str(self))} depends on the context, so it is no fixed list of tokens",
            fix="use contains or word where one token decides",
        )

    def texts(self) -> tuple[str, ...]:
        return self.phrases

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        return BoundPhrases(self, vocabulary)

    def __str__(self) -> str:
        given = {"ignore_case": self.ignore_case, "whole": self.whole}
        options = [f"{name}=True" for name, on in given.items() if on]
        return f"phrase({', '.join([*map(repr, self.phrases), *options])})"


def phrase(*texts: str | list[str], ignore_case: bool = False, whole: bool = False) -> Event:
    """Tokens whose bytes complete one of ``texts``, given the bytes of the context before them.

    Args:
        texts: any texts, or lists of them, each over as many tokens as it takes.
        ignore_case: whether capital and small ASCII letters count as the same.
        whole: only where the phrase begins a word: at the start of the text, or after a byte that
            is no ASCII letter, digit or underscore and no part of another character. (Where it
            ends cannot be asked, since the next byte is not there yet.)

    Raises:
        EventError: there is no text, or an empty one; or an option is neither True nor False.

    >>> vocabulary = Vocabulary((b"a", b" test", b"ament", b"a testament"))
    >>> event = phrase("a testament").bind(vocabulary)
    >>> event.mask_at(event.read([0, 1])[-1]).tolist()
    [False, False, True, True]
    """
    checked_option("phrase", "ignore_case", ignore_case)
    checked_option("phrase", "whole", whole)
    return _Phrase(tuple(dict.fromkeys(checked_texts("phrase", texts))), ignore_case, whole)


class BoundPhrases(BoundEvent):
    """Phrases over one vocabulary; a state is a node of Aho and Corasick's automaton.

    Nodes are numbers; 0 is the root. A node stands for the longest end of the text so far that
    begins a phrase.

    Args:
        event: the phrases and their options.
        vocabulary: control tokens among it are not text, and complete nothing.

    Raises:
        EventError: no token sequence can complete a phrase, as the vocabulary lacks its bytes.
    """

    def __init__(self, event: _Phrase, vocabulary: Vocabulary) -> None:
        self.text = str(event)
        self.size = len(vocabulary)
        mark = _marked if event.whole else str
        tokens = [t.lower() if event.ignore_case else t for t in vocabulary.tokens]
        for index in vocabulary.special_ids:
            tokens[index] = b""
        self._tokens = [mark(t.decode("latin-1")) for t in tokens]
        patterns = [t.encode("utf-8", errors="surrogateescape") for t in event.phrases]
        patterns = [p.lower() if event.ignore_case else p for p in patterns]
        known_bytes = set(b"".join(tokens))
        reachable = [mark(p.decode("latin-1")) for p in patterns if set(p) <= known_bytes]
        if not reachable:
            raise EventError(f"no text of this vocabulary completes {excerpt(self.text)}")
        if event.whole:
            reachable = [_MARK + p.removesuffix(_MARK) for p in reachable]
        self._build(reachable)
        self._start = self._step(0, _MARK) if event.whole else 0
        # Ids in the order of their tokens' bytes, so that tokens with a common beginning are a run.
        self._order = sorted(range(self.size), key=lambda i: self._tokens[i])
        self._sorted = [self._tokens[i] for i in self._order]
        self._advanced: dict[tuple[int, int], int] = {}
        self._masks: dict[int, torch.Tensor] = {}
        self._complete_by_themselves: torch.Tensor | None = None

    def _build(self, patterns: list[str]) -> None:
        """Take nodes, edges and failure links out of the library's automaton."""
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for pattern in patterns:
            automaton.add_word(pattern, len(pattern))
        automaton.make_automaton()
        nodes, edges, links = automaton.dump()
        number = {node: index for index, (node, _) in enumerate(nodes)}
        self._ends = [bool(end) for _, end in nodes]
        self._next: list[dict[str, int]] = [{} for _ in nodes]
        for origin, label, goal in edges:
            self._next[number[origin]][label.decode("latin-1")] = number[goal]
        self._fail = [0] * len(nodes)
        for origin, goal in links:
            self._fail[number[origin]] = number[goal]
        root = (set(range(len(nodes))) - {g for n in self._next for g in n.values()}).pop()
        assert root == 0

    @property
    def depends_on_context(self) -> bool:
        """True: which tokens complete a phrase depends on the bytes before them."""
        return True

    def start(self) -> State:
        """The root; with ``whole``, the node after a mark, since a phrase can begin the text."""
        return self._start

    def advance(self, state: State, token: int) -> State:
        """The node after a token's bytes."""
        assert isinstance(state, int)
        key = (state, token)
        if key not in self._advanced:
            self._advanced[key] = self._step(state, self._tokens[token])
        return self._advanced[key]

    def _step(self, node: int, data: str) -> int:
        """The node after some bytes: the edge where there is one, else on along failure links."""
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
        """(V,) boolean: the tokens that complete a phrase from this state."""
        import torch

        assert isinstance(state, int)
        if self._complete_by_themselves is None:
            complete = [self._completes(token) for token in self._tokens]
            self._complete_by_themselves = torch.tensor(complete)
        if state not in self._masks:
            mask = self._complete_by_themselves.clone()
            node = state
            while node:
                self._mark(node, mask)
                node = self._fail[node]
            self._masks[state] = mask
        return self._masks[state]

    def _mark(self, start: int, mask: torch.Tensor) -> None:
        """Mark the tokens that lead from a node to a phrase's end.

        Args:
            start: the node.
            mask: (V,) boolean, in which the tokens are marked.
        """
        # What is still to be followed: a node, the run of tokens that lead to it, and by how many
        # bytes; tokens are counted in the order of their bytes.
        ahead = [(start, 0, self.size, 0)]
        while ahead:
            node, low, high, depth = ahead.pop()
            for byte, goal in self._next[node].items():
                code = ord(byte)
                first = bisect_left(self._sorted, code, low, high, key=lambda t: _at(t, depth))
                last = bisect_left(self._sorted, code + 1, first, high, key=lambda t: _at(t, depth))
                if first == last:
                    continue
                if self._ends[goal]:
                    mask[self._order[first:last]] = True
                else:
                    ahead.append((goal, first, last, depth + 1))


def _at(token: str, depth: int) -> int:
    """The code of the byte at a depth; −1 past the end, as shorter tokens sort first."""
    return ord(token[depth]) if depth < len(token) else -1


def _marked(text: str) -> str:
    """A text with a mark after each byte after which a word may begin.

    >>> _marked("a, b").replace(_MARK, "|")
    'a,| |b'
    """
    text = text.replace(_MARK, "\xfe")
    return re.sub(r"[^A-Za-z0-9_\x80-\xff]", lambda byte: byte[0] + _MARK, text)
