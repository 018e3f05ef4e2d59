"""Events that a single token decides: contains, matches, word, tokens, special.

Knows nothing of contexts. Every token is judged by its bytes, by the text that they decode to, or
by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tiltlm.errors import EventError
from tiltlm.events.event import Event
from tiltlm.events.expressions import excerpt, shown
from tiltlm.events.patterns import Pattern
from tiltlm.events.texts import checked_option, checked_texts
from tiltlm.events.vocabulary import Vocabulary


@dataclass(frozen=True)
class _Contains(Event):
    needles: tuple[str, ...]
    ignore_case: bool

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        if self.ignore_case:
            found_in = _finder([needle.casefold() for needle in self.needles])
            return [found_in(text.casefold()) for text in vocabulary.texts]
        # Bytes are held as letters of latin-1, one for each.
        raw = [needle.encode(errors="surrogateescape").decode("latin-1") for needle in self.needles]
        found_in = _finder(raw)
        return [found_in(token.decode("latin-1")) for token in vocabulary.tokens]

    def texts(self) -> tuple[str, ...]:
        return self.needles

    def __str__(self) -> str:
        return _call("contains", self.needles, self.ignore_case)


@dataclass(frozen=True)
class _Matches(Event):
    pattern: str

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        found_in = Pattern(self.pattern).found_in
        return [bool(token) and found_in(token) for token in vocabulary.texts]

    def __str__(self) -> str:
        return f"matches({self.pattern!r})"


@dataclass(frozen=True)
class _Word(Event):
    words: tuple[str, ...]
    ignore_case: bool

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        fold = str.casefold if self.ignore_case else str
        wanted = {fold(word) for word in self.words}
        return [fold(text.removeprefix(" ")) in wanted for text in vocabulary.texts]

    def texts(self) -> tuple[str, ...]:
        return self.words

    def __str__(self) -> str:
        return _call("word", self.words, self.ignore_case)


@dataclass(frozen=True)
class _Tokens(Event):
    ids: tuple[int, ...]

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        missing = [i for i in self.ids if i >= len(vocabulary)]
        if missing:
            raise EventError(
                f"token {missing[0]} does not exist: ids go from 0 to {len(vocabulary) - 1}",
                where=excerpt(str(self)),
            )
        wanted = set(self.ids)
        return [index in wanted for index in range(len(vocabulary))]

    def __str__(self) -> str:
        return f"tokens({', '.join(map(str, self.ids))})"


@dataclass(frozen=True)
class _Special(Event):
    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        return [index in vocabulary.special_ids for index in range(len(vocabulary))]

    def __str__(self) -> str:
        return "special()"


def contains(*texts: str, ignore_case: bool = False) -> Event:
    r"""Tokens in whose bytes one of ``texts`` occurs (UTF-8; half-characters never match one).

    Args:
        texts: searched for as they are, spaces and all.
        ignore_case: whether capital and small letters count as the same, in any script.

    Raises:
        EventError: there is no text, or an empty one; or the option is neither True nor False.

    >>> contains("é").mask(Vocabulary(("é".encode(), b"\xc3", b"e"))).tolist()
    [True, False, False]
    """
    checked_option("contains", "ignore_case", ignore_case)
    return _Contains(checked_texts("contains", texts), ignore_case)


def matches(pattern: str) -> Event:
    """Tokens in which a regular expression is found.

    It takes linear time, so it has no look-arounds and no back references; `events.patterns` says
    how else it differs from Python's.

    Args:
        pattern: searched for in each token's text, in which lone bytes are surrogates (see
            `Vocabulary.texts`); anchor it with ^ and $.

    Raises:
        EventError: the pattern is empty, no regular expression, or none of linear time.

    >>> str(matches(r"^ ?[A-Z]"))
    "matches('^ ?[A-Z]')"
    """
    if not isinstance(pattern, str) or not pattern:
        raise EventError(f"matches takes one non-empty pattern, not {shown(pattern)}")
    Pattern(pattern)  # refuses what is none
    return _Matches(pattern)


def word(*words: str, ignore_case: bool = False) -> Event:
    """Tokens that are one of ``words`` as a whole, with or without one leading space.

    Args:
        words: without the space.
        ignore_case: whether capital and small letters count as the same, in any script.

    Raises:
        EventError: there is no word, or an empty one; or the option is neither True nor False.

    >>> word("she").mask(Vocabulary((b"she", b" she", b"shed"))).tolist()
    [True, True, False]
    """
    checked_option("word", "ignore_case", ignore_case)
    return _Word(checked_texts("word", words), ignore_case)


def tokens(*ids: int | Iterable[int]) -> Event:
    """Tokens by id.

    Args:
        ids: ids, or iterables of ids; each counts once.

    Raises:
        EventError: there is no id, or one is no whole number from 0 on. That an id does not exist
            shows only over a vocabulary.

    >>> str(tokens([12, 13]))
    'tokens(12, 13)'
    """
    many = (item if isinstance(item, Iterable) else [item] for item in ids)
    flat = [i for items in many for i in items]
    if not flat or any(not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in flat):
        raise EventError(f"tokens takes ids, whole numbers from 0 on, not {shown(list(ids))}")
    return _Tokens(tuple(dict.fromkeys(flat)))


def special() -> Event:
    """Control tokens such as ``<|endoftext|>``.

    ``contains('x') & ~special()`` leaves them out of another event.

    >>> special().mask(Vocabulary((b"a", b"<eos>"), frozenset({1}))).tolist()
    [False, True]
    """
    return _Special()


def _finder(needles: list[str]) -> Callable[[str], bool]:
    """Whether one of some texts occurs in another, in time that does not grow with their number."""
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for needle in needles:
        automaton.add_word(needle, needle)
    automaton.make_automaton()
    return lambda text: next(automaton.iter(text), None) is not None


def _call(name: str, texts: tuple[str, ...], ignore_case: bool) -> str:
    """The text of an event that is a call with texts and an option."""
    arguments = ", ".join(map(repr, texts)) + (", ignore_case=True" if ignore_case else "")
    return f"{name}({arguments})"
