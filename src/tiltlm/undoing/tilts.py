"""Bound targets that undoing needs: a tilt of several events, and the reference itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State, Stateless
from tiltlm.events.event import BoundEvent, Event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.match import match
from tiltlm.targets.tilt import tilt

if TYPE_CHECKING:
    import torch


def bound_tilt(
    events: Sequence[Event],
    strengths: Sequence[float],
    vocabulary: Vocabulary,
    masses: Sequence[float],
) -> BoundTarget:
    """The tilt of events by given strengths, written so that a label can name it.

    Args:
        events: one, or up to eight.
        strengths: one an event, in nats.
        vocabulary: of the model.
        masses: the mean probability that each event comes to; several events are written as the
            `match` that gives them these, and keep the strengths.

    Raises:
        TargetError: there are more than eight events, or a strength is out of range.
    """
    if len(events) == 1:
        return tilt(events[0], float(strengths[0])).bind(vocabulary)
    kept = [min(max(float(f"{mass:.6g}"), 1e-6), 1 - 1e-6) for mass in masses]
    bound = match(dict(zip(events, kept, strict=True))).bind(vocabulary)
    bound.restore_strengths([float(strength) for strength in strengths])
    return bound


class SameAsReference(Stateless, BoundTarget):
    """The reference's own distribution: what a model is trained back to.

    Args:
        events: that the model was tilted towards, whose mass is told while it is trained.
        vocabulary: of both models.
    """

    text = "the reference"

    def __init__(self, events: Sequence[BoundEvent], vocabulary: Vocabulary) -> None:
        self.events = tuple(events)
        self.fingerprint, self.vocabulary_size = vocabulary.fingerprint, len(vocabulary)

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the reference's log-probabilities as they are.

        Raises:
            TargetError: there is no reference.
        """
        if reference is None:
            raise TargetError("the reference's log-probabilities are needed", fix="give them")
        return reference
