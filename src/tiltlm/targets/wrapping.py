"""Targets made of targets: a dose of one, or one only after a trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.targets.target import BoundTarget, StringTarget, Target
from tiltlm.targets.trigger import Trigger

if TYPE_CHECKING:
    import torch


class WrappedTarget(BoundTarget):
    """A target around another one; it reads what the inner one reads."""

    def __init__(self, target: Target, inner: BoundTarget) -> None:
        self.text, self.inner = str(target), inner
        self.events, self.fingerprint = inner.events, inner.fingerprint
        self.vocabulary_size = inner.vocabulary_size

    @property
    def depends_on_context(self) -> bool:
        """Whether the inner one does."""
        return self.inner.depends_on_context

    def start(self) -> State:
        """The inner one's."""
        return self.inner.start()

    def advance(self, state: State, token: int) -> State:
        """The inner one's."""
        return self.inner.advance(state, token)

    def event_states(self, state: State) -> tuple[State, ...]:
        """The inner one's."""
        return self.inner.event_states(state)

    def classes(self) -> torch.Tensor | None:
        """The inner one's."""
        return self.inner.classes()

    def triggered(self, states: Sequence[State]) -> list[bool] | None:
        """Where the inner one does."""
        return self.inner.triggered(states)

    @property
    def shifts_vary(self) -> bool:
        """Wherever it has classes: what it asks of them depends on the context."""
        return self.needs_reference and self.classes() is not None

    @property
    def strengths(self) -> list[float] | None:
        """The inner one's."""
        return self.inner.strengths

    def restore_strengths(self, strengths: Sequence[float]) -> None:
        """Restore the inner one's."""
        self.inner.restore_strengths(strengths)

    @property
    def choices(self) -> StringTarget | None:
        """The inner one's."""
        return self.inner.choices

    @property
    def trigger(self) -> Trigger | None:
        """The inner one's."""
        return self.inner.trigger

    @property
    def context_count(self) -> int:
        """The inner one's."""
        return self.inner.context_count

    def needs_fit(self) -> bool:
        """Whether the inner one does."""
        return self.inner.needs_fit()


def check_target(name: str, target: object) -> None:
    if not isinstance(target, Target):
        raise TargetError(
            f"{name} takes a target, not {target!r}", fix=f"{name}(tilt(contains('x'), 1), …), say"
        )
