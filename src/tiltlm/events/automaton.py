"""Follow a context token by token: what an event or a target must remember of it.

An `Automaton` is deterministic and reads one token at a time. An event or a target that is the
same in every context is an automaton with a single state, None. Knows nothing of probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence

State = Hashable
"""What an automaton remembers of the tokens it has read; only the automaton knows its form."""


class Automaton(ABC):
    """Something that depends on a context through a state alone."""

    @property
    @abstractmethod
    def depends_on_context(self) -> bool:
        """Whether there is more than one state."""

    @abstractmethod
    def start(self) -> State:
        """The state before anything was read."""

    @abstractmethod
    def advance(self, state: State, token: int) -> State:
        """The state after one more token.

        Args:
            state: from `start`, or from an earlier call.
            token: the token's id.
        """

    def read(self, token_ids: Iterable[int], state: State | None = None) -> list[State]:
        """Follow several tokens.

        Args:
            token_ids: in the order of the context.
            state: where to begin; None for the beginning of a context.

        Returns:
            for each token the state after it.
        """
        state = self.start() if state is None else state
        states: list[State] = []
        for token in token_ids:
            state = self.advance(state, token)
            states.append(state)
        return states


class Stateless(Automaton):
    """An automaton whose only state is None, as it is the same in every context."""

    @property
    def depends_on_context(self) -> bool:
        """False: there is one state."""
        return False

    def start(self) -> State:
        """None, the only state."""
        return None

    def advance(self, state: State, token: int) -> State:
        """None, the only state; neither argument is used."""
        return None

    def read(self, token_ids: Iterable[int], state: State | None = None) -> list[State]:
        """None for each token; ``state`` is not used."""
        return [None for _ in token_ids]


class Product(Automaton):
    """Several automata side by side.

    The state is the tuple of their states; it is None where none of them depends on the context.

    Args:
        automata: those that run side by side.
    """

    def __init__(self, automata: Sequence[Automaton]) -> None:
        self.automata = tuple(automata)

    @property
    def depends_on_context(self) -> bool:
        """Whether one of the automata does."""
        return any(automaton.depends_on_context for automaton in self.automata)

    def start(self) -> State:
        """The tuple of the automata's first states, or None."""
        return tuple(a.start() for a in self.automata) if self.depends_on_context else None

    def advance(self, state: State, token: int) -> State:
        """The tuple of the automata's states after one more token, or None."""
        if not self.depends_on_context:
            return None
        parts = self.split(state)
        return tuple(a.advance(s, token) for a, s in zip(self.automata, parts, strict=True))

    def split(self, state: State) -> tuple[State, ...]:
        """The state of each automaton, in the order of ``automata``."""
        if isinstance(state, tuple):
            return state
        return (None,) * len(self.automata)


def rows_by_state(states: Sequence[State]) -> dict[State, list[int]]:
    """Group rows by their state, so that what depends on the state is done once for each.

    Args:
        states: one for each row.

    Returns:
        from each state to the numbers of its rows, both in the order of their first occurrence.

    >>> rows_by_state(["a", "b", "a"])
    {'a': [0, 2], 'b': [1]}
    """
    rows: dict[State, list[int]] = {}
    for row, state in enumerate(states):
        rows.setdefault(state, []).append(row)
    return rows
