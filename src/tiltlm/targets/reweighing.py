"""What targets that reweigh the reference have in common: tilt, match, balance.

All three multiply the probabilities of whole classes of tokens and normalise again, so within a
class, and outside all of them, nothing changes but scale.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from tiltlm.events.automaton import Product, State, rows_by_state
from tiltlm.events.device_copies import DeviceCopies
from tiltlm.events.event import BoundEvent, Event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import given_rows
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    import torch


LARGEST_STRENGTH = 50.0
"""Strengths beyond this many nats are refused: e^50 leaves nothing of the other side in float32."""

_CACHED_BYTES = 256 << 20
"""Classes that are kept, beyond which all are forgotten; those of one state take A·V bytes."""


class Reweighing(Product, BoundTarget):
    """Disjoint classes of tokens, made of events, each class with a shift of its own.

    A class is a pattern of membership in the K events (2^K − 1 of them, without the empty one),
    so events may overlap.

    Args:
        target: as it was written.
        events: K of them.
        vocabulary: of the model.
        patterns: A patterns of K zeros and ones; by default all but the empty one.

    Attributes:
        patterns: A patterns of K zeros and ones.

    Raises:
        EventError: an event matches no token, or every token.
    """

    def __init__(
        self,
        target: Target,
        events: Sequence[Event],
        vocabulary: Vocabulary,
        patterns: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        bound = tuple(event.bind(vocabulary) for event in events)
        Product.__init__(self, bound)
        self.events: tuple[BoundEvent, ...] = bound
        self.text, self.fingerprint = str(target), vocabulary.fingerprint
        self.vocabulary_size = len(vocabulary)
        if patterns is None:
            patterns = [p for p in product((0, 1), repeat=len(bound)) if any(p)]
        self.patterns = list(patterns)
        self._classes: dict[State, torch.Tensor] = {}
        self._classes_elsewhere = DeviceCopies(self.classes_at)

    def event_states(self, state: State) -> tuple[State, ...]:
        """The state of each event, of which the target's state is made."""
        return self.split(state)

    def classes_at(self, state: State) -> torch.Tensor:
        """(A, V) the classes at a state, boolean and disjoint, in the order of ``patterns``."""
        import torch

        if state not in self._classes:
            if len(self._classes) * len(self.patterns) * self.vocabulary_size > _CACHED_BYTES:
                self._classes.clear()
            states = self.split(state)
            masks = [event.mask_at(s) for event, s in zip(self.events, states, strict=True)]
            self._classes[state] = torch.stack(
                [
                    torch.stack(
                        [m if inside else ~m for m, inside in zip(masks, p, strict=True)]
                    ).all(0)
                    for p in self.patterns
                ]
            )
        return self._classes[state]

    def classes(self) -> torch.Tensor | None:
        """(A, V) boolean, or None where the classes change with the context."""
        return None if self.depends_on_context else self.classes_at(None)

    def log_masses(self, reference: torch.Tensor, state: State) -> torch.Tensor:
        """Log-probability of each class in contexts that share a state.

        Args:
            reference: (N, V) log-probabilities of the reference model.
            state: of all N contexts.

        Returns:
            (N, A) in nats, float64 on the processor.
        """
        from tiltlm.losses.masses import class_masses

        classes = self._classes_elsewhere.at(state, reference.device)
        return class_masses(reference.float(), classes).cpu().double().log()

    @abstractmethod
    def class_shifts(self, log_masses: torch.Tensor) -> torch.Tensor:
        """(N, A) shifts in nats, for contexts in which the classes have these (N, A) log-masses."""

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A) shifts in nats of the classes of each state, float64 on the processor."""
        import torch

        constant = self.constant_shifts()
        if constant is not None:
            return constant[None].expand(len(reference), -1)
        shifts = torch.zeros(len(reference), len(self.patterns), dtype=torch.float64)
        for state, rows in rows_by_state(states).items():
            shifts[rows] = self.class_shifts(self.log_masses(reference[rows], state))
        return shifts

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the reference's, reweighed and normalised."""
        reference, states = given_rows(self, reference, states)
        return self._reweighed(reference, states).log_softmax(-1)

    def logits(self, scores: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, V) scores with the shifts added; not normalised."""
        return self._reweighed(scores, states)

    def _reweighed(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, V) logits or log-probabilities with the shifts added; not normalised."""
        reweighed = None
        for state, rows in rows_by_state(states).items():
            part = reference if len(rows) == len(reference) else reference[rows]
            shift = self.constant_shifts()
            if shift is None:
                shift = self.class_shifts(self.log_masses(part.float().log_softmax(-1), state))
            classes = self._classes_elsewhere.at(state, part.device)
            shifted = part + shift.to(part) @ classes.to(part)
            if part is reference:
                return shifted
            reweighed = reference.clone() if reweighed is None else reweighed
            reweighed[rows] = shifted
        assert reweighed is not None
        return reweighed
