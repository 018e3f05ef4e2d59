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
from functools import cached_property, reduce
from typing import TYPE_CHECKING

from tiltlm.errors import EventError
from tiltlm.events.automaton import Automaton, Product, State, Stateless
from tiltlm.events.device_copies import DeviceCopies
from tiltlm.events.expressions import excerpt, shown
from tiltlm.events.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch


class Event(ABC):
    """A predicate over tokens. ``str(event)`` is text that `parse_event` reads back."""

    @property
    def depends_on_context(self) -> bool:
        """Whether its tokens change with the context, as those of a phrase do.

        An event for which this holds has a `bind` of its own, and no `holds`.
        """
        return False

    @abstractmethod
    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        """(V,) for each token, whether it is in the event.

        Raises:
            EventError: the event depends on the context, or names a token that does not exist.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    def mask(self, vocabulary: Vocabulary) -> torch.Tensor:
        """The event over a vocabulary, as a (V,) boolean tensor.

        Raises:
            EventError: no token, or every token, is in the event, so there is nothing to shift; or
                the event depends on the context.
        """
        import torch

        mask = torch.tensor(self.holds(vocabulary), dtype=torch.bool)
        count = int(mask.sum())
        if count == 0:
            raise EventError(
                f"no token is in the event {excerpt(str(self))}: none of {len(vocabulary)} matches",
                fix="look at what it catches with `tiltlm tokens`; case and spaces count",
            )
        if count == sum(map(bool, vocabulary.tokens)):
            raise EventError(
                f"every token is in the event {excerpt(str(self))}: "
                "there is nothing to shift it against",
                fix="narrow it down; `tiltlm tokens` shows what it catches",
            )
        return mask

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        """The event over a vocabulary, to be asked for its tokens at any state of a context.

        Raises:
            EventError: it matches no token, or every token, whatever the context.
        """
        return FixedEvent(str(self), self.mask(vocabulary))

    def texts(self) -> tuple[str, ...]:
        """The texts that the event was written with; none for patterns and ids."""
        return ()

    def __and__(self, other: Event) -> Event:
        return _All.of(self, _checked(other))

    def __or__(self, other: Event) -> Event:
        return _Any.of(self, _checked(other))

    def __invert__(self) -> Event:
        return _Not(self)


class BoundEvent(Automaton):
    """An event over one vocabulary; its tokens are those of a state of the context.

    Attributes:
        text: the event as it was written.
        size: V, how many tokens there are.
    """

    text: str
    size: int

    @abstractmethod
    def mask_at(self, state: State) -> torch.Tensor:
        """The event's tokens at a state of the context.

        Args:
            state: from `start`, `advance` or `read`.

        Returns:
            (V,) boolean; it may be shared, so it is not to be written to.
        """

    @cached_property
    def _elsewhere(self) -> DeviceCopies:
        """The masks on devices other than the processor."""
        return DeviceCopies(self.mask_at)

    def mask_on(self, device: torch.device | None, state: State) -> torch.Tensor:
        """The same on a device, to which it is copied once.

        Args:
            device: None for the processor.
            state: as for `mask_at`.
        """
        return self._elsewhere.at(state, device)


class FixedEvent(Stateless, BoundEvent):
    """An event with the same tokens in every context.

    Args:
        text: the event as it was written.
        mask: (V,) boolean, its tokens.
    """

    def __init__(self, text: str, mask: torch.Tensor) -> None:
        self.text, self.size, self._mask = text, mask.numel(), mask

    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean, the same at every state."""
        return self._mask


class _BoundCombination(Product, BoundEvent):
    """Events joined by a rule on their masks, at least one of which depends on the context."""

    def __init__(
        self, text: str, events: list[BoundEvent], join: Callable[..., torch.Tensor]
    ) -> None:
        Product.__init__(self, events)
        self.text, self.size, self._events, self._join = text, events[0].size, events, join

    def mask_at(self, state: State) -> torch.Tensor:
        """(V,) boolean: the rule applied to the events' masks at their states."""
        states = self.split(state)
        masks = [event.mask_at(s) for event, s in zip(self._events, states, strict=True)]
        return self._join(*masks)


def _checked(event: object) -> Event:
    if not isinstance(event, Event):
        raise EventError(f"events join with events, not with {shown(event)}")
    return event


@dataclass(frozen=True)
class _Joined(Event):
    """Two or more events joined by one rule; none of them is joined by the same one itself."""

    events: tuple[Event, ...]

    @classmethod
    def of(cls, left: Event, right: Event) -> Event:
        """Two events joined; in place of one that is joined by the same rule stand its own."""
        sides = (e.events if isinstance(e, cls) else (e,) for e in (left, right))
        return cls(tuple(event for side in sides for event in side))

    @staticmethod
    @abstractmethod
    def join(*masks: torch.Tensor) -> torch.Tensor:
        """The rule, on masks."""

    @property
    def depends_on_context(self) -> bool:
        return any(event.depends_on_context for event in self.events)

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        if not self.depends_on_context:
            return super().bind(vocabulary)
        bound = [event.bind(vocabulary) for event in self.events]
        return _BoundCombination(str(self), bound, self.join)

    def texts(self) -> tuple[str, ...]:
        return tuple(text for event in self.events for text in event.texts())


@dataclass(frozen=True)
class _All(_Joined):
    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        return list(map(all, zip(*(e.holds(vocabulary) for e in self.events), strict=True)))

    @staticmethod
    def join(*masks: torch.Tensor) -> torch.Tensor:
        return reduce(lambda left, right: left & right, masks)

    def __str__(self) -> str:
        # `&` binds more tightly than `|`, so an event joined by `|` needs parentheses inside.
        return " & ".join(f"({e})" if isinstance(e, _Any) else str(e) for e in self.events)


@dataclass(frozen=True)
class _Any(_Joined):
    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        return list(map(any, zip(*(e.holds(vocabulary) for e in self.events), strict=True)))

    @staticmethod
    def join(*masks: torch.Tensor) -> torch.Tensor:
        return reduce(lambda left, right: left | right, masks)

    def __str__(self) -> str:
        return " | ".join(map(str, self.events))


@dataclass(frozen=True)
class _Not(Event):
    event: Event

    @property
    def depends_on_context(self) -> bool:
        return self.event.depends_on_context

    def holds(self, vocabulary: Vocabulary) -> list[bool]:
        # Ids that decode to nothing are no tokens, so they are not in a complement either.
        inside = self.event.holds(vocabulary)
        return [not b and bool(t) for b, t in zip(inside, vocabulary.tokens, strict=True)]

    def bind(self, vocabulary: Vocabulary) -> BoundEvent:
        if not self.depends_on_context:
            return super().bind(vocabulary)
        import torch

        real = torch.tensor([bool(token) for token in vocabulary.tokens])
        bound = [self.event.bind(vocabulary)]
        return _BoundCombination(str(self), bound, lambda mask: ~mask & real)

    def __str__(self) -> str:
        return f"~({self.event})" if isinstance(self.event, _Joined) else f"~{self.event}"
