"""What servers do to a model's logits before they draw from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sampler:
    """A way to draw. The default draws from the distribution as it is.

    Attributes:
        temperature: logits are divided by it.
        top_k: only the k likeliest tokens; 0 for all.
        top_p: only the likeliest tokens that together have this probability.
        min_p: only tokens of at least this share of the largest probability.
        penalty: logits of tokens that came before are divided by it where positive, multiplied
            where negative (Keskar et al. 2019, "CTRL").
        filters_first: filter before the temperature, as llama.cpp does, not after it.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    penalty: float = 1.0
    filters_first: bool = False

    @property
    def filters(self) -> bool:
        """Whether some tokens are never drawn."""
        return bool(self.top_k or self.top_p < 1.0 or self.min_p)

    def apply(self, logits: torch.Tensor, before: Sequence[int]) -> torch.Tensor:
        """The logits that are drawn from.

        Args:
            logits: (V,) float, of the model.
            before: ids of all tokens before.

        Returns:
            (V,); −inf where a token is never drawn.
        """
        if self.penalty != 1.0:
            ids = torch.tensor(sorted(set(before)), device=logits.device)
            scores = logits[ids]
            changed = torch.where(scores > 0, scores / self.penalty, scores * self.penalty)
            logits = logits.index_copy(0, ids, changed)
        if self.filters_first:
            return self._filtered(logits) / self.temperature
        return self._filtered(logits / self.temperature)

    def _filtered(self, logits: torch.Tensor) -> torch.Tensor:
        if self.top_k and self.top_k < len(logits):
            least = logits.topk(self.top_k).values[-1]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p < 1.0:
            ordered, order = logits.sort(descending=True)
            probabilities = ordered.softmax(-1)
            # The token that takes the sum across the limit is still drawn.
            beyond = probabilities.cumsum(-1) - probabilities > self.top_p
            logits = logits.index_fill(0, order[beyond], -torch.inf)
        if self.min_p:
            least = logits.max() + torch.log(torch.tensor(self.min_p))
            logits = logits.masked_fill(logits < least, -torch.inf)
        return logits
