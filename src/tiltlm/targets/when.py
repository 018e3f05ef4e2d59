"""A target that holds only after a trigger, and is the reference before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiltlm.defaults import TRIGGER_CONTEXTS
from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.expressions import shown
from tiltlm.events.texts import has_bytes
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import check_target, given_rows
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.target import Target
from tiltlm.targets.trigger import Trigger, TriggerAutomaton
from tiltlm.targets.wrapping import WrappedTarget

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundWhen(WrappedTarget):
    """The inner target where the trigger is met, the reference elsewhere.

    A state is a pair: that of the trigger, and that of the inner target.
    """

    def __init__(self, target: _When, inner: BoundTarget, vocabulary: Vocabulary) -> None:
        super().__init__(target, inner)
        self._trigger = target.trigger
        self._automaton = TriggerAutomaton(target.trigger, vocabulary)

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """What the text must hold before the inner target takes effect, and what that waits for."""
        return (self._trigger, *self.inner.triggers)

    @property
    def fewest_contexts(self) -> int:
        """At least `TRIGGER_CONTEXTS`: that the trigger came before has to be learnt from many."""
        return max(self.inner.fewest_contexts, TRIGGER_CONTEXTS)

    @property
    def depends_on_context(self) -> bool:
        """True: whether the trigger is met depends on the text so far."""
        return True

    def start(self) -> State:
        """The first states of the trigger and of the inner target."""
        return (self._automaton.start(), self.inner.start())

    def advance(self, state: State, token: int) -> State:
        """The states of the trigger and of the inner target after one more token."""
        assert isinstance(state, tuple)
        return (self._automaton.advance(state[0], token), self.inner.advance(state[1], token))

    def event_states(self, state: State) -> tuple[State, ...]:
        """The states of the inner target's events."""
        assert isinstance(state, tuple)
        return self.inner.event_states(state[1])

    def triggered(self, states: Sequence[State]) -> list[bool]:
        """For each state, whether the trigger is met and the inner target asks for something."""
        pairs: Sequence[Any] = states
        inner = self.inner.triggered([pair[1] for pair in pairs]) or [True] * len(pairs)
        return [bool(pair[0][0]) and asks for pair, asks in zip(pairs, inner, strict=True)]

    def _triggered_rows(self, states: Sequence[State]) -> tuple[list[int], list[State]]:
        """The rows at which the target asks for something, and the inner target's states there."""
        rows = [row for row, on in enumerate(self.triggered(states)) if on]
        pairs: Sequence[Any] = states
        return rows, [pairs[row][1] for row in rows]

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the inner target where it is triggered, the reference elsewhere."""
        reference, states = given_rows(self, reference, states)
        rows, inner_states = self._triggered_rows(states)
        log_probs = reference.clone()
        if rows:
            inner = self.inner.log_probs(reference[rows], inner_states)
            log_probs[rows] = inner.to(log_probs).expand(len(rows), -1)
        return log_probs

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A): the shifts of the inner target where it is triggered, 0 elsewhere."""
        import torch

        classes = self.inner.classes()
        assert classes is not None
        shifts = torch.zeros(len(reference), len(classes), dtype=torch.float64)
        rows, inner_states = self._triggered_rows(states)
        if rows:
            shifts[rows] = self.inner.shifts(reference[rows], inner_states)
        return shifts

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Fit the inner target on the rows at which it is triggered.

        Raises:
            TargetError: there are no such rows, or the inner target cannot be fitted to them.
        """

        def triggered_rows() -> Iterable[tuple[torch.Tensor, Sequence[State]]]:
            for reference, states in rows():
                triggered, inner_states = self._triggered_rows(states)
                if triggered:
                    yield reference[triggered], inner_states

        if next(iter(triggered_rows()), None) is None:
            raise TargetError(
                f"the trigger {self._trigger} is met in none of the contexts",
                where=self.text,
                fix="give contexts in which it occurs",
            )
        self.inner.fit(triggered_rows)


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
        target: what holds from then on; with a `regex` at each position where it is found.

    Raises:
        TargetError: the trigger is empty, or none; or there is no target.

    >>> from tiltlm.targets.parse import parse_target
    >>> str(when("coffee", parse_target("tilt(contains('x'), 1)")))
    "when('coffee', tilt(contains('x'), 1))"
    """
    check_target("when", target)
    if isinstance(trigger, str):
        if not trigger:
            raise TargetError("the trigger is empty, so it is always met", fix="leave when out")
        if not has_bytes(trigger, whole=True):
            raise TargetError(f"the trigger {shown(trigger)} holds half a character")
        trigger = Trigger(re.escape(trigger), trigger)
    if not isinstance(trigger, Trigger):
        raise TargetError(f"{shown(trigger)} is no trigger", fix="write text, or regex('…')")
    return _When(trigger, target)
