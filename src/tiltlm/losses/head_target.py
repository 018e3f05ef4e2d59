"""What `linear_kl` comes close to: one distribution for all rows, or one for each row.

Knows nothing of hidden states or divergences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TargetFromHead:
    """A target made of the head's own logits, as they are without ``low_rank``.

    Where a reference has the same hidden states and the same head under an adapter, that product
    is made anyway, and need not be made twice.

    Attributes:
        make: from rows and those logits (rows, V), which it may change, to the target's logits.
    """

    make: Callable[[slice, torch.Tensor], torch.Tensor]


HeadTarget = torch.Tensor | Callable[[slice], torch.Tensor] | TargetFromHead
"""Log-probabilities (V,), the same in every row; or a function from rows to logits (rows, V), which
need not be normalised; or what is made of the head's own logits."""


class BlockTarget:
    """The target at the rows of a block, normalised as it is read.

    Args:
        target: (V,) log-probabilities, the same in every row, or (rows, V) logits.

    Attributes:
        given: the same, as it was given.
    """

    def __init__(self, target: torch.Tensor) -> None:
        self.given = target
        self._fixed = (target, target.exp()) if target.ndim == 1 else None

    def at(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and probabilities, both (V,) or (rows, V), at least float32."""
        if self._fixed is not None:
            return self._fixed
        wide = torch.promote_types(self.given.dtype, torch.float32)
        log_q = self.given[rows].to(wide).log_softmax(-1)
        return log_q, log_q.exp()
