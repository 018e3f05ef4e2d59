"""Follow a context token by token: what an event or a target must remember of it.

An `Automaton` is deterministic and reads tokens. Events and targets that are the same in every
context are automata with a single state, None. Knows nothing of probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence

State = Hashable


class Automaton(ABC):
    """Something that depends on a context through a state."""

    @property
    @abstractmethod
    def depends_on_context(self) -> bool:
        """Whether there is more than one state."""

    @abstractmethod
    def start(self) -> State:
        """The state before anything was read."""

    @abstractmethod
    def advance(self, state: State, token: int) -> State:
        """The state after one more token."""

    def read(self, token_ids: Iterable[int], state: State | None = None) -> list[State]:
        """The state after each token of a context, from its beginning or from ``state``."""
        state = self.start() if state is None else state
        states: list[State] = []
        for token in token_ids:
            state = self.advance(state, token)
            states.append(state)
        return states


class Stateless(Automaton):
    """A reader that looks at nothing."""

    @property
    def depends_on_context(self) -> bool:
        """No."""
        return False

    def start(self) -> State:
        """None, always."""
        return None

    def advance(self, state: State, token: int) -> State:
        """None, always."""
        return None

    def read(self, token_ids: Iterable[int], state: State | None = None) -> list[State]:
        """None for each token."""
        return [None for _ in token_ids]


class Product(Automaton):
    """Several readers side by side; the state is the tuple of theirs, None where none moves."""

    def __init__(self, readers: Sequence[Automaton]) -> None:
        self.readers = tuple(readers)

    @property
    def depends_on_context(self) -> bool:
        """Whether one of them does."""
        return any(reader.depends_on_context for reader in self.readers)

    def start(self) -> State:
        """Their starts."""
        return tuple(r.start() for r in self.readers) if self.depends_on_context else None

    def advance(self, state: State, token: int) -> State:
        """Each advanced by itself."""
        if not self.depends_on_context:
            return None
        parts = self.split(state)
        return tuple(r.advance(s, token) for r, s in zip(self.readers, parts, strict=True))

    def split(self, state: State) -> tuple[State, ...]:
        """The state of each reader."""
        if isinstance(state, tuple):
            return state
        return (None,) * len(self.readers)


def rows_by_state(states: Sequence[State]) -> dict[State, list[int]]:
    """Rows by their state, so that what depends on the state is done once for each.

    >>> rows_by_state(["a", "b", "a"])
    {'a': [0, 2], 'b': [1]}
    """
    found: dict[State, list[int]] = {}
    for row, state in enumerate(states):
        found.setdefault(state, []).append(row)
    return found
