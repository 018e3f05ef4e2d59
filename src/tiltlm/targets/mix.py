"""Mix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.target import BoundTarget, Target
from tiltlm.targets.wrapping import WrappedTarget, check_target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundMix(WrappedTarget):
    """share·Q + (1 − share)·P0."""

    def __init__(self, target: _Mix, inner: BoundTarget) -> None:
        super().__init__(target, inner)
        self.share = target.share

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V)."""
        import torch

        assert reference is not None
        full = self.inner.log_probs(reference, states) + math.log(self.share)
        return torch.logaddexp(full, reference + math.log1p(-self.share))

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A): how the ratio to the reference differs between each class and the rest."""
        import torch

        full = self.inner.shifts(reference, states)  # (N, A)
        classes = self.inner.classes()
        assert classes is not None
        masses = torch.stack([reference[:, m].double().exp().sum(-1) for m in classes], 1).cpu()
        normaliser = (1 + (masses * full.expm1()).sum(1, keepdim=True)).log()
        scale, rest = math.log(self.share), math.log1p(-self.share)

        def ratio(shift: torch.Tensor) -> torch.Tensor:
            return torch.logaddexp(shift - normaliser + scale, torch.full_like(shift, rest))

        return ratio(full) - ratio(torch.zeros_like(full))

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Fit the inner one."""
        self.inner.fit(rows)


@dataclass(frozen=True)
class _Mix(Target):
    target: Target
    share: float

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundMix:
        return BoundMix(self, self.target.bind(vocabulary, tokenizer))

    def __str__(self) -> str:
        return f"mix({self.target}, {self.share:g})"

    def sentence(self) -> str:
        return f"{self.share:.3g} of the way (as a mixture) to: {self.target.sentence()}"


def mix(target: Target, share: float) -> Target:
    """A dose of a target: share·Q + (1 − share)·P0.

    Raises:
        TargetError: the share is not strictly between 0 and 1.

    >>> from tiltlm.targets.parse import parse_target
    >>> str(mix(parse_target("tilt(contains('x'), 1)"), 0.5))
    "mix(tilt(contains('x'), 1), 0.5)"
    """
    check_target("mix", target)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise TargetError(
            f"the share is {share!r}; it lies strictly between 0 and 1",
            fix="for the whole target leave mix out",
        )
    return _Mix(target, float(share))
