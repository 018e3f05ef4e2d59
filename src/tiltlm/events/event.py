"""Which tokens: predicates over a vocabulary, joined by `&`, `|` and `~`.

An event is written down once and then asked for its mask over any vocabulary. Knows nothing of
probabilities, models or contexts.

>>> from tiltlm.events.tokens import contains, matches
>>> vocabulary = Vocabulary((b"fox", b" ox", b"cat"))
>>> (contains("x") & ~matches("^f")).mask(vocabulary).tolist()
[False, True, False]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import EventError
from tiltlm.events.automaton import Automaton, Product, State, Stateless
from tiltlm.events.vocabulary import Vocabulary

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


class BoundEvent(Automaton):
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


class FixedEvent(Stateless, BoundEvent):
    """The same tokens everywhere."""

    def __init__(self, text: str, mask: torch.Tensor) -> None:
        self.text, self.size, self._mask = text, mask.numel(), mask

    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean."""
        return self._mask


class _Joined(Product, BoundEvent):
    """Events joined by a rule on their masks, at least one of which depends on the context."""

    def __init__(
        self, text: str, parts: list[BoundEvent], join: Callable[..., torch.Tensor]
    ) -> None:
        Product.__init__(self, parts)
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
