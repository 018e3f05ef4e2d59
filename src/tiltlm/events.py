"""Which tokens: predicates over a vocabulary, joined by `&`, `|` and `~`.

An event is written down once and then asked for its mask over any vocabulary. Knows nothing of
probabilities, models or contexts.

>>> vocabulary = Vocabulary((b"fox", b" ox", b"cat"))
>>> (contains("x") & ~matches("^f")).mask(vocabulary).tolist()
[False, True, False]
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import EventError
from tiltlm.expressions import parse
from tiltlm.reading import Reader, State, Still, Together
from tiltlm.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch


class Event(ABC):
    """A predicate over tokens. ``str(event)`` is text that `parse_event` reads back."""

    @abstractmethod
    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        """(V,) for each token, whether it is in the event."""

    @abstractmethod
    def __str__(self) -> str: ...

    def mask(self, vocabulary: Vocabulary) -> torch.Tensor:
        """The event over a vocabulary, as a (V,) boolean tensor.

        Raises:
            EventError: no token, or every token, is in the event: there is nothing to shift.
        """
        import torch

        mask = torch.tensor(self.holds(vocabulary), dtype=torch.bool)
        count = int(mask.sum())
        if count == 0:
            raise EventError(
                f"no token is in the event {self}: none of {len(vocabulary)} matches",
                fix="look at what it catches with `tiltlm tokens`; case and spaces count",
            )
        if count == sum(map(bool, vocabulary.tokens)):
            raise EventError(
                f"every token is in the event {self}: there is nothing to shift it against",
                fix="narrow it down; `tiltlm tokens` shows what it catches",
            )
        return mask

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        """The event over a vocabulary, asked for its tokens at any state of a context.

        Raises:
            EventError: it matches no token, or every token, whatever the context.
        """
        return FixedEvent(str(self), self.mask(vocabulary))

    def texts(self) -> tuple[str, ...]:
        """The texts that the event was written with; none for patterns and ids."""
        return ()

    def __and__(self, other: Event) -> Event:
        return _All((self, _checked(other)))

    def __or__(self, other: Event) -> Event:
        return _Any((self, _checked(other)))

    def __invert__(self) -> Event:
        return _Not(self)


class BoundEvent(Reader):
    """An event over one vocabulary, which may depend on the context.

    Attributes:
        text: the event as it was written.
        size: V, how many tokens there are.
    """

    text: str
    size: int

    @abstractmethod
    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean: the event's tokens at a state of the context; not to be written to."""


class FixedEvent(Still, BoundEvent):
    """The same tokens everywhere."""

    def __init__(self, text: str, mask: torch.Tensor) -> None:
        self.text, self.size, self._mask = text, mask.numel(), mask

    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean."""
        return self._mask


class _Joined(Together, BoundEvent):
    """Events joined by a rule on their masks, at least one of which depends on the context."""

    def __init__(
        self, text: str, parts: list[BoundEvent], join: Callable[..., torch.Tensor]
    ) -> None:
        Together.__init__(self, parts)
        self.text, self.size, self._parts, self._join = text, parts[0].size, parts, join

    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean."""
        states = self.split(state)
        masks = [part.mask_at(s) for part, s in zip(self._parts, states, strict=True)]
        return self._join(*masks)


def _is_fixed(event: Event) -> bool:
    if isinstance(event, _All | _Any):
        return all(map(_is_fixed, event.events))
    if isinstance(event, _Not):
        return _is_fixed(event.event)
    return type(event).bind is Event.bind


def _checked(event: object) -> Event:
    if not isinstance(event, Event):
        raise EventError(f"events join with events, not with {event!r}")
    return event


@dataclass(frozen=True)
class _Contains(Event):
    needles: tuple[str, ...]
    ignore_case: bool

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        if self.ignore_case:
            folded = [needle.casefold() for needle in self.needles]
            return [any(n in t.casefold() for n in folded) for t in vocabulary.texts]
        raw = [needle.encode("utf-8", errors="surrogateescape") for needle in self.needles]
        return [any(n in token for n in raw) for token in vocabulary.tokens]

    def texts(self) -> tuple[str, ...]:
        return self.needles

    def __str__(self) -> str:
        return _call("contains", self.needles, self.ignore_case)


@dataclass(frozen=True)
class _Matches(Event):
    pattern: str

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        search = re.compile(self.pattern).search
        return [bool(token) and search(token) is not None for token in vocabulary.texts]

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
        beyond = [i for i in self.ids if i >= len(vocabulary)]
        if beyond:
            raise EventError(
                f"token {beyond[0]} does not exist: ids go from 0 to {len(vocabulary) - 1}",
                where=str(self),
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


@dataclass(frozen=True)
class _All(Event):
    events: tuple[Event, Event]

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        left, right = (event.holds(vocabulary) for event in self.events)
        return [a and b for a, b in zip(left, right, strict=True)]

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        if _is_fixed(self):
            return super().bind(vocabulary)
        parts = [event.bind(vocabulary) for event in self.events]
        return _Joined(str(self), parts, lambda a, b: a & b)

    def texts(self) -> tuple[str, ...]:
        return tuple(text for event in self.events for text in event.texts())

    def __str__(self) -> str:
        return " & ".join(f"({e})" if isinstance(e, _Any) else str(e) for e in self.events)


@dataclass(frozen=True)
class _Any(Event):
    events: tuple[Event, Event]

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        left, right = (event.holds(vocabulary) for event in self.events)
        return [a or b for a, b in zip(left, right, strict=True)]

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        if _is_fixed(self):
            return super().bind(vocabulary)
        parts = [event.bind(vocabulary) for event in self.events]
        return _Joined(str(self), parts, lambda a, b: a | b)

    def texts(self) -> tuple[str, ...]:
        return tuple(text for event in self.events for text in event.texts())

    def __str__(self) -> str:
        return " | ".join(map(str, self.events))


@dataclass(frozen=True)
class _Not(Event):
    event: Event

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        # Ids that decode to nothing are no tokens, so they are not in a complement either.
        inside = self.event.holds(vocabulary)
        return [not b and bool(t) for b, t in zip(inside, vocabulary.tokens, strict=True)]

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        if _is_fixed(self):
            return super().bind(vocabulary)
        import torch

        real = torch.tensor([bool(token) for token in vocabulary.tokens])
        return _Joined(str(self), [self.event.bind(vocabulary)], lambda a: ~a & real)

    def __str__(self) -> str:
        simple = not isinstance(self.event, _Any | _All)
        return f"~{self.event}" if simple else f"~({self.event})"


def contains(*texts: str, ignore_case: bool = False) -> Event:
    r"""Tokens in whose bytes one of ``texts`` occurs (UTF-8; half-characters never match one).

    >>> contains("é").mask(Vocabulary(("é".encode(), b"\xc3", b"e"))).tolist()
    [True, False, False]
    """
    return _Contains(_strings("contains", texts), ignore_case)


def matches(pattern: str) -> Event:
    """Tokens in which the regular expression is found (``re.search``; anchor with ^ and $).

    >>> str(matches(r"^ ?[A-Z]"))
    "matches('^ ?[A-Z]')"
    """
    if not isinstance(pattern, str) or not pattern:
        raise EventError(f"matches takes one non-empty pattern, not {pattern!r}")
    try:
        re.compile(pattern)
    except re.error as error:
        raise EventError(
            f"{pattern!r} is no regular expression: {error}", fix="escape special characters"
        ) from None
    return _Matches(pattern)


def word(*words: str, ignore_case: bool = False) -> Event:
    """Tokens that are one of ``words`` as a whole, with or without one leading space.

    >>> word("she").mask(Vocabulary((b"she", b" she", b"shed"))).tolist()
    [True, True, False]
    """
    return _Word(_strings("word", words), ignore_case)


def tokens(*ids: int | Iterable[int]) -> Event:
    """Tokens by id.

    >>> str(tokens([12, 13]))
    'tokens(12, 13)'
    """
    flat = [i for item in ids for i in ([item] if isinstance(item, int | str) else item)]
    if not flat or any(not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in flat):
        raise EventError(f"tokens takes ids, whole numbers from 0 on, not {ids!r}")
    return _Tokens(tuple(dict.fromkeys(flat)))


def special() -> Event:
    """Control tokens such as ``<|endoftext|>``. ``contains('x') & ~special()`` leaves them out.

    >>> special().mask(Vocabulary((b"a", b"<eos>"), frozenset({1}))).tolist()
    [False, True]
    """
    return _Special()


def _phrase(*texts: str, **options: bool) -> Event:
    from tiltlm.phrases import phrase

    return phrase(*_strings("phrase", texts), **options)


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


def _strings(name: str, given: tuple[str | list[str], ...]) -> tuple[str, ...]:
    texts = tuple(t for item in given for t in (item if isinstance(item, list) else [item]))
    if not texts or any(not isinstance(text, str) or not text for text in texts):
        raise EventError(f"{name} takes one or more non-empty texts, not {texts!r}")
    return texts


def _call(name: str, texts: tuple[str, ...], ignore_case: bool) -> str:
    inside = ", ".join(map(repr, texts)) + (", ignore_case=True" if ignore_case else "")
    return f"{name}({inside})"
