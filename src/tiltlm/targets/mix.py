"""A dose of a target: its mixture with the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.expressions import shown
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import check_target, given_rows
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.numbers import is_number, written
from tiltlm.targets.target import Target
from tiltlm.targets.wrapping import WrappedTarget

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundMix(WrappedTarget):
    """share·Q + (1 − share)·P0, with Q the inner target and P0 the reference."""

    def __init__(self, target: _Mix, inner: BoundTarget) -> None:
        super().__init__(target, inner)
        self.share = target.share

    @property
    def forbids_tokens(self) -> bool:
        """Never, since a share of the reference is left."""
        return False

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the mixture."""
        import torch

        reference, states = given_rows(self, reference, states)
        full = self.inner.log_probs(reference, states) + math.log(self.share)
        return torch.logaddexp(full, reference + math.log1p(-self.share))

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A): the log-ratio to the reference in each class, less that outside all classes."""
        import torch

        from tiltlm.losses.masses import picked_mass

        full = self.inner.shifts(reference, states)  # (N, A)
        classes = self.inner.classes()
        assert classes is not None
        # Only the classes' own columns are made float64, not the whole vocabulary's.
        exact = torch.float64 if reference.device.type != "mps" else torch.float32
        columns = [picked_mass(reference, m, exact) for m in classes.to(reference.device)]
        masses = torch.stack(columns, 1).cpu().double()
        normaliser = (1 + (masses * full.expm1()).sum(1, keepdim=True)).log()
        of_target, of_reference = math.log(self.share), math.log1p(-self.share)

        def log_ratio(shift: torch.Tensor) -> torch.Tensor:
            share = shift - normaliser + of_target
            return torch.logaddexp(share, torch.full_like(shift, of_reference))

        return log_ratio(full) - log_ratio(torch.zeros_like(full))


@dataclass(frozen=True)
class _Mix(Target):
    target: Target
    share: float

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundMix:
        return BoundMix(self, self.target.bind(vocabulary, tokenizer))

    def __str__(self) -> str:
        return f"mix({self.target}, {written(self.share)})"

    def sentence(self) -> str:
        return f"{self.share:.3g} of the way (as a mixture) to: {self.target.sentence()}"


def mix(target: Target, share: float) -> Target:
    """A dose of a target: share·Q + (1 − share)·P0.

    Args:
        target: Q.
        share: of it, strictly between 0 and 1; the rest is the reference P0.

    Raises:
        TargetError: there is no target, or the share is not strictly between 0 and 1.

    >>> from tiltlm.targets.parse import parse_target
    >>> str(mix(parse_target("tilt(contains('x'), 1)"), 0.5))
    "mix(tilt(contains('x'), 1), 0.5)"
    """
    check_target("mix", target)
    if not is_number(share) or not 0 < share < 1:
        raise TargetError(
            f"the share is {shown(share)}; it lies strictly between 0 and 1",
            fix="for the whole target leave mix out",
        )
    return _Mix(target, float(share))
