"""What targets made of another target have in common: a dose of it, or it only after a trigger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tiltlm.events.automaton import State
from tiltlm.targets.bound import BoundTarget, StringTarget
from tiltlm.targets.target import Target
from tiltlm.targets.trigger import Trigger

if TYPE_CHECKING:
    import torch


class WrappedTarget(BoundTarget):
    """A target around another one, which answers as the inner one does unless it says otherwise.

    Args:
        target: as it was written.
        inner: the target inside, over the vocabulary.
    """

    def __init__(self, target: Target, inner: BoundTarget) -> None:
        self.text, self.inner = str(target), inner
        self.events, self.fingerprint = inner.events, inner.fingerprint
        self.vocabulary_size = inner.vocabulary_size

    @property
    def depends_on_context(self) -> bool:
        """Whether the inner target does."""
        return self.inner.depends_on_context

    def start(self) -> State:
        """The first state of the inner target."""
        return self.inner.start()

    def advance(self, state: State, token: int) -> State:
        """The state of the inner target after one more token."""
        return self.inner.advance(state, token)

    def event_states(self, state: State) -> tuple[State, ...]:
        """The states of the inner target's events."""
        return self.inner.event_states(state)

    def triggered(self, states: Sequence[State]) -> list[bool] | None:
        """For each state, whether the inner target asks for something there."""
        return self.inner.triggered(states)

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The triggers of the inner target."""
        return self.inner.triggers

    @property
    def choices(self) -> StringTarget | None:
        """The distribution over whole strings that the inner target is, or wraps."""
        return self.inner.choices

    @property
    def fewest_contexts(self) -> int:
        """As many contexts as the inner target takes."""
        return self.inner.fewest_contexts

    def classes(self) -> torch.Tensor | None:
        """The classes of the inner target."""
        return self.inner.classes()

    @property
    def shifts_vary(self) -> bool:
        """True with classes: what is asked of them depends on the reference, or on a trigger."""
        return self.classes() is not None

    @property
    def strengths(self) -> list[float] | None:
        """The strengths of the inner target."""
        return self.inner.strengths

    def restore_strengths(self, strengths: Sequence[float]) -> None:
        """Give the inner target the strengths that an earlier fit found."""
        self.inner.restore_strengths(strengths)

    @property
    def forbids_tokens(self) -> bool:
        """Whether the inner target does."""
        return self.inner.forbids_tokens

    def needs_fit(self) -> bool:
        """Whether the inner target must be fitted."""
        return self.inner.needs_fit()

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Fit the inner target."""
        self.inner.fit(rows)
