"""The tilt that gives events wanted mean probabilities over the contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.defaults import MATCH_CONTEXTS
from tiltlm.errors import TargetError
from tiltlm.events.automaton import State, rows_by_state
from tiltlm.events.event import Event
from tiltlm.events.expressions import excerpt, shown
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import check_event
from tiltlm.targets.numbers import is_number, written
from tiltlm.targets.target import Target
from tiltlm.targets.tilt import BoundTilt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


_MOST_EVENTS = 8
"""Events of one match at most; the number of classes doubles with each."""


@dataclass(frozen=True)
class _Match(Target):
    demands: tuple[tuple[Event, float], ...]

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundMatch:
        return BoundMatch(self, vocabulary)

    def __str__(self) -> str:
        if len(self.demands) == 1:
            event, probability = self.demands[0]
            return f"match({event}, {written(probability)})"
        return "match({" + ", ".join(f"{e}: {written(p)}" for e, p in self.demands) + "})"

    def sentence(self) -> str:
        parts = [f"tokens in {event} have {p:.3g}" for event, p in self.demands]
        return "on average over the contexts " + " and ".join(parts)


class BoundMatch(BoundTilt):
    """A tilt whose strengths are found on contexts, by Newton's method on the convex dual.

    Args:
        target: as it was written.
        vocabulary: of the model.

    Attributes:
        means: the mean probabilities that are wanted, one an event.
    """

    def __init__(self, target: _Match, vocabulary: Vocabulary) -> None:
        events = [event for event, _ in target.demands]
        super().__init__(target, events, vocabulary, [])
        self.means = [probability for _, probability in target.demands]

    @property
    def fewest_contexts(self) -> int:
        """`MATCH_CONTEXTS`: the mean holds elsewhere only as far as means of so many agree."""
        return MATCH_CONTEXTS

    def needs_fit(self) -> bool:
        """True until the strengths were found by `fit`, or restored."""
        return not self._strengths

    def constant_shifts(self) -> torch.Tensor:
        """(A,) for each class the sum of the strengths of the events that it lies in, float64.

        Raises:
            TargetError: the strengths are still to be fitted.
        """
        if not self._strengths:
            raise TargetError(
                f"{self.text} has not been fitted to contexts",
                fix="call fit, or use decode, edit or train, which do",
            )
        return super().constant_shifts()

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Find the strengths that give the events the wanted mean probabilities over these rows.

        Raises:
            TargetError: no strengths do; names the demands that contradict each other.
        """
        import torch

        from tiltlm.targets.dual import solve_dual

        blocks = []
        for reference, states in rows():
            log_masses = torch.empty(len(reference), len(self.patterns), dtype=torch.float64)
            for state, at_state in rows_by_state(states).items():
                log_masses[at_state] = self.log_masses(reference[at_state], state)
            blocks.append(log_masses)
        names = [event.text for event in self.events]
        self._strengths = solve_dual(
            torch.cat(blocks).numpy(), self.patterns, self.means, names, self.text
        )


def match(events: Event | Mapping[Event, float], probability: float | None = None) -> Target:
    """The tilt that gives events wanted mean probabilities over the contexts.

    Args:
        events: one event with ``probability``, or up to eight with a probability each.
        probability: strictly between 0 and 1.

    Raises:
        TargetError: there is no event, or more than eight; a probability is not strictly between
            0 and 1. That demands contradict each other shows only when they are fitted.

    >>> from tiltlm.events.tokens import contains
    >>> str(match(contains("x"), 0.1))
    "match(contains('x'), 0.1)"
    """
    if not isinstance(events, Mapping):
        check_event("match", events)
        events = {events: probability}  # type: ignore[dict-item]
    elif probability is not None:
        raise TargetError("match takes a probability for each event, or one event and one")
    demands = dict(events)
    if not demands or len(demands) > _MOST_EVENTS:
        raise TargetError(f"match takes 1 to {_MOST_EVENTS} events, not {len(demands)}")
    for event, mean in demands.items():
        check_event("match", event)
        if not is_number(mean) or not 0 < mean < 1:
            raise TargetError(
                f"the probability of {excerpt(str(event))} is {shown(mean)}; "
                "it lies strictly between 0 and 1",
                fix="for nearly never or nearly always use tilt with a large strength",
            )
    return _Match(tuple((event, float(mean)) for event, mean in demands.items()))
