"""Targets that reweigh the reference model's own distribution: tilt, match, balance.

All three multiply the probabilities of whole classes of tokens and normalise again, so within a
class, and outside all of them, nothing changes but scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import Product, State, rows_by_state
from tiltlm.events.event import BoundEvent, Event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.target import BoundTarget, Target

if TYPE_CHECKING:
    import torch


LARGEST_STRENGTH = 50.0
"""Strengths beyond this are refused: e^50 leaves nothing of the other side in float32."""


class Reweighing(Product, BoundTarget):
    """Events joined to disjoint classes, each class with a shift of its own.

    A class is a pattern of membership in the K events (2^K − 1 of them, without the empty one),
    so events may overlap.
    """

    def __init__(self, target: Target, events: Sequence[Event], vocabulary: Vocabulary) -> None:
        bound = tuple(event.bind(vocabulary) for event in events)
        Product.__init__(self, bound)
        self.events: tuple[BoundEvent, ...] = bound
        self.text, self.fingerprint = str(target), vocabulary.fingerprint
        self.vocabulary_size = len(vocabulary)
        self.patterns = [p for p in product((0, 1), repeat=len(bound)) if any(p)]
        self._cache: dict[State, torch.Tensor] = {}

    def event_states(self, state: State) -> tuple[State, ...]:
        """The state of each event."""
        return self.split(state)

    def classes_at(self, state: State) -> torch.Tensor:
        """(A, V) boolean, disjoint, in the order of ``patterns``."""
        import torch

        if state not in self._cache:
            if len(self._cache) > 256:
                self._cache.clear()
            states = self.split(state)
            masks = [event.mask_at(s) for event, s in zip(self.events, states, strict=True)]
            self._cache[state] = torch.stack(
                [
                    torch.stack(
                        [m if inside else ~m for m, inside in zip(masks, p, strict=True)]
                    ).all(0)
                    for p in self.patterns
                ]
            )
        return self._cache[state]

    def classes(self) -> torch.Tensor | None:
        """(A, V), or None where the classes change with the context."""
        return None if self.depends_on_context else self.classes_at(None)

    def log_masses(self, reference: torch.Tensor, state: State) -> torch.Tensor:
        """(N, A) log-probability of each class under (N, V) reference log-probabilities."""
        classes = self.classes_at(state).to(reference)
        return (reference.float().exp() @ classes.T.float()).double().log()

    def class_shifts(self, log_masses: torch.Tensor) -> torch.Tensor:
        """(N, A) shifts in nats for contexts in which the classes have these log-masses."""
        raise NotImplementedError

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A) shifts in nats."""
        import torch

        constant = self.constant_shifts()
        if constant is not None:
            return constant[None].expand(len(reference), -1)
        found = torch.zeros(len(reference), len(self.patterns), dtype=torch.float64)
        for state, rows in rows_by_state(states).items():
            found[rows] = self.class_shifts(self.log_masses(reference[rows], state)).cpu()
        return found

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the reference's, reweighed and normalised."""
        assert reference is not None
        return self._reweighed(reference, states).log_softmax(-1)

    def logits(self, scores: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, V) scores with the shifts added; not normalised."""
        return self._reweighed(scores, states)

    def _reweighed(self, reference: torch.Tensor, states: Sequence[State] | None) -> torch.Tensor:
        found = None
        for state, rows in rows_by_state(states or [None] * len(reference)).items():
            part = reference if len(rows) == len(reference) else reference[rows]
            shift = self.constant_shifts()
            if shift is None:
                shift = self.class_shifts(self.log_masses(part.float().log_softmax(-1), state))
            moved = part + shift.to(part) @ self.classes_at(state).to(part)
            if part is reference:
                return moved
            found = reference.clone() if found is None else found
            found[rows] = moved
        assert found is not None
        return found

    def constant_shifts(self) -> torch.Tensor | None:
        """(A,) where the shifts are the same in every context, else None."""
        return None


def check_event(name: str, event: object) -> None:
    if not isinstance(event, Event):
        raise TargetError(
            f"{name} takes an event, not {event!r}", fix=f"{name}(contains('x'), …), say"
        )
