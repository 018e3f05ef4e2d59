"""Match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.defaults import MATCH_CONTEXTS
from tiltlm.errors import TargetError
from tiltlm.events.automaton import State, rows_by_state
from tiltlm.events.event import Event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.reweighing import check_event
from tiltlm.targets.target import Target
from tiltlm.targets.tilt import BoundTilt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class _Match(Target):
    wishes: tuple[tuple[Event, float], ...]

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundMatch:
        return BoundMatch(self, vocabulary)

    def __str__(self) -> str:
        if len(self.wishes) == 1:
            return f"match({self.wishes[0][0]}, {self.wishes[0][1]:g})"
        return "match({" + ", ".join(f"{e}: {p:g}" for e, p in self.wishes) + "})"

    def sentence(self) -> str:
        parts = [f"tokens in {event} have {p:.3g}" for event, p in self.wishes]
        return "on average over the contexts " + " and ".join(parts)


class BoundMatch(BoundTilt):
    """A tilt whose strengths are found on contexts, by Newton's method on the convex dual."""

    def __init__(self, target: _Match, vocabulary: Vocabulary) -> None:
        events = [event for event, _ in target.wishes]
        super().__init__(target, events, vocabulary, [])
        self.wishes = [p for _, p in target.wishes]

    @property
    def context_count(self) -> int:
        """More than others need: a wished mean holds elsewhere as far as means agree."""
        return MATCH_CONTEXTS

    def needs_fit(self) -> bool:
        """Until `fit`."""
        return not self._strengths

    def constant_shifts(self) -> torch.Tensor:
        """(A,) once fitted."""
        if not self._strengths:
            raise TargetError(
                f"{self.text} has not been fitted to contexts", fix="call fit, or tilt's own calls"
            )
        return super().constant_shifts()

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Find the strengths that give the events the wished mean mass over these rows.

        Raises:
            TargetError: no strengths do; names the demands that contradict each other.
        """
        import torch

        from tiltlm.targets.dual import solve_dual

        masses = []
        for reference, states in rows():
            part = torch.empty(len(reference), len(self.patterns), dtype=torch.float64)
            for state, places in rows_by_state(states).items():
                part[places] = self.log_masses(reference[places], state).cpu()
            masses.append(part)
        names = [event.text for event in self.events]
        self._strengths = solve_dual(
            torch.cat(masses).numpy(), self.patterns, self.wishes, names, self.text
        )


def match(events: Event | Mapping[Event, float], probability: float | None = None) -> Target:
    """The tilt that gives an event a wished mean probability over the contexts.

    Args:
        events: one event with ``probability``, or several with a probability each.
        probability: strictly between 0 and 1.

    Raises:
        TargetError: a probability is not between 0 and 1.

    >>> from tiltlm.events.tokens import contains
    >>> str(match(contains("x"), 0.1))
    "match(contains('x'), 0.1)"
    """
    wishes = dict(events) if isinstance(events, Mapping) else {events: probability}
    if not wishes or len(wishes) > 8:
        raise TargetError(f"match takes 1 to 8 events, not {len(wishes)}")
    for event, wish in wishes.items():
        check_event("match", event)
        if isinstance(wish, bool) or not isinstance(wish, int | float) or not 0 < wish < 1:
            raise TargetError(
                f"the probability of {event} is {wish!r}; it lies strictly between 0 and 1",
                fix="for nearly never or nearly always use tilt with a large strength",
            )
    return _Match(tuple((e, float(p)) for e, p in wishes.items() if p is not None))
