"""The reference with the odds of events multiplied: a tilt, and what a fitted match is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.event import Event
from tiltlm.events.expressions import shown
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import EXAMPLES, check_event
from tiltlm.targets.numbers import is_number, written
from tiltlm.targets.reweighing import LARGEST_STRENGTH, Reweighing
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundTilt(Reweighing):
    """P0·exp(Σ β_k m_k), normalised, with P0 the reference and m_k the mask of the k-th event.

    Args:
        target: as it was written.
        events: K of them; they may overlap.
        vocabulary: of the model.
        strengths: β, one an event, in nats; empty where they are still to be fitted.
    """

    def __init__(
        self,
        target: Target,
        events: Sequence[Event],
        vocabulary: Vocabulary,
        strengths: Sequence[float],
    ) -> None:
        super().__init__(target, events, vocabulary)
        self._strengths = list(strengths)

    @property
    def strengths(self) -> list[float]:
        """One an event, in nats; empty where they are still to be fitted."""
        return list(self._strengths)

    def restore_strengths(self, strengths: Sequence[float]) -> None:
        """Take these strengths in place of its own.

        Raises:
            TargetError: there are not as many as events.
        """
        if len(strengths) != len(self.events):
            raise TargetError(
                f"{self.text} has {len(self.events)} events, not {len(strengths)} strengths",
                fix="correct the label",
            )
        if not all(is_number(s) and abs(s) <= LARGEST_STRENGTH for s in strengths):
            raise TargetError(
                f"the strengths of {self.text} are {shown(list(strengths))}; "
                f"they lie between ±{LARGEST_STRENGTH:g} nats",
                fix="correct the label",
            )
        self._strengths = [float(strength) for strength in strengths]

    def constant_shifts(self) -> torch.Tensor:
        """(A,) for each class the sum of the strengths of the events that it lies in, float64."""
        import torch

        patterns = torch.tensor(self.patterns, dtype=torch.float64)
        return patterns @ torch.tensor(self._strengths, dtype=torch.float64)

    def class_shifts(self, log_masses: torch.Tensor) -> torch.Tensor:
        """(N, A): the same shifts in every context."""
        return self.constant_shifts().to(log_masses)[None].expand_as(log_masses)


@dataclass(frozen=True)
class _Tilt(Target):
    event: Event
    strength: float

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundTilt:
        return BoundTilt(self, [self.event], vocabulary, [self.strength])

    @property
    def asks_nothing(self) -> bool:
        """Whether the strength is 0."""
        return self.strength == 0

    def __str__(self) -> str:
        return f"tilt({self.event}, {written(self.strength)})"

    def sentence(self) -> str:
        side = "likelier" if self.strength > 0 else "less likely"
        times = math.exp(abs(self.strength))
        return f"tokens in {self.event} {times:.3g} times {side} against all others"


def tilt(event: Event, strength: float) -> Target:
    """The reference with the odds of an event multiplied by e^strength.

    Q ∝ P0·exp(strength·m). Of all distributions with that event mass it is the closest to P0 in
    KL(Q ‖ P0) (Csiszár 1975).

    Args:
        event: whose tokens become likelier, or less likely.
        strength: in nats, between ±50.

    Raises:
        TargetError: there is no event, or the strength is no finite number between ±50.

    >>> from tiltlm.events.tokens import contains
    >>> import torch
    >>> bound = tilt(contains("x"), 1.0).bind(Vocabulary((b"x", b"y")))
    >>> bound.log_probs(torch.tensor([[0.5, 0.5]]).log()).exp()
    tensor([[0.7311, 0.2689]])
    """
    check_event("tilt", event)
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise TargetError(
            f"the strength is {shown(strength)}, which is no number",
            fix=f"write {EXAMPLES['tilt']}, say",
        )
    if not is_number(strength) or abs(strength) > LARGEST_STRENGTH:
        raise TargetError(
            f"the strength is {shown(strength)}; it lies between ±{LARGEST_STRENGTH:g} nats",
            fix="1.0 multiplies the odds by 2.7, −3 divides them by 20",
        )
    return _Tilt(event, float(strength))
