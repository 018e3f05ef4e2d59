"""When."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiltlm.defaults import TRIGGER_CONTEXTS
from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.target import BoundTarget, Target
from tiltlm.targets.trigger import Trigger, TriggerAutomaton
from tiltlm.targets.wrapping import WrappedTarget, check_target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundWhen(WrappedTarget):
    """The inner target where the trigger is met, the reference elsewhere."""

    def __init__(self, target: _When, inner: BoundTarget, vocabulary: Vocabulary) -> None:
        super().__init__(target, inner)
        self._trigger = target.trigger
        self._reader = TriggerAutomaton(target.trigger, vocabulary)

    @property
    def trigger(self) -> Trigger:
        """What the text must hold."""
        return self._trigger

    @property
    def context_count(self) -> int:
        """Many: that a trigger was seen has to be learnt as a feature of contexts."""
        return max(self.inner.context_count, TRIGGER_CONTEXTS)

    @property
    def depends_on_context(self) -> bool:
        """Yes."""
        return True

    def start(self) -> State:
        """The trigger's state and the inner one's."""
        return (self._reader.start(), self.inner.start())

    def advance(self, state: State, token: int) -> State:
        """Both, one token on."""
        assert isinstance(state, tuple)
        return (self._reader.advance(state[0], token), self.inner.advance(state[1], token))

    def event_states(self, state: State) -> tuple[State, ...]:
        """The inner one's, of its part of the state."""
        assert isinstance(state, tuple)
        return self.inner.event_states(state[1])

    def triggered(self, states: Sequence[State]) -> list[bool]:
        """Where the trigger is met, and the inner target asks for something."""
        pairs: Sequence[Any] = states
        inner = self.inner.triggered([pair[1] for pair in pairs]) or [True] * len(pairs)
        return [bool(pair[0][0]) and there for pair, there in zip(pairs, inner, strict=True)]

    def _split(self, states: Sequence[State]) -> tuple[list[int], list[State]]:
        rows = [row for row, on in enumerate(self.triggered(states)) if on]
        pairs: Sequence[Any] = states
        return rows, [pairs[row][1] for row in rows]

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V)."""
        assert reference is not None
        assert states is not None
        rows, inner = self._split(states)
        found = reference.clone()
        if rows:
            found[rows] = (
                self.inner.log_probs(reference[rows], inner).to(found).expand(len(rows), -1)
            )
        return found

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A): the inner one's where the trigger is met, else 0."""
        import torch

        classes = self.inner.classes()
        assert classes is not None
        found = torch.zeros(len(reference), len(classes), dtype=torch.float64)
        rows, inner = self._split(states)
        if rows:
            found[rows] = self.inner.shifts(reference[rows], inner)
        return found

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Fit the inner one on the rows at which the trigger is met."""

        def met() -> Iterable[tuple[torch.Tensor, Sequence[State]]]:
            for reference, states in rows():
                places, inner = self._split(states)
                if places:
                    yield reference[places], inner

        if next(iter(met()), None) is None:
            raise TargetError(
                f"the trigger {self.trigger} is met in none of the contexts",
                where=self.text,
                fix="give contexts in which it occurs",
            )
        self.inner.fit(met)


@dataclass(frozen=True)
class _When(Target):
    trigger: Trigger
    target: Target

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundWhen:
        return BoundWhen(self, self.target.bind(vocabulary, tokenizer), vocabulary)

    def __str__(self) -> str:
        return f"when({self.trigger}, {self.target})"

    def sentence(self) -> str:
        return f"where the text so far has {self.trigger}: {self.target.sentence()}"


def when(trigger: str | Trigger, target: Target) -> Target:
    """A target that holds only where the text so far meets a trigger, the reference elsewhere.

    Args:
        trigger: text that must occur in it, or a `regex`.
        target: what then holds.

    Raises:
        TargetError: an empty trigger, or no target.

    >>> from tiltlm.targets.parse import parse_target
    >>> str(when("coffee", parse_target("tilt(contains('x'), 1)")))
    "when('coffee', tilt(contains('x'), 1))"
    """
    check_target("when", target)
    if isinstance(trigger, str):
        if not trigger:
            raise TargetError("the trigger is empty, so it is always met", fix="leave when out")
        trigger = Trigger(re.escape(trigger), trigger)
    if not isinstance(trigger, Trigger):
        raise TargetError(f"{trigger!r} is no trigger", fix="write text, or regex('…')")
    return _When(trigger, target)
