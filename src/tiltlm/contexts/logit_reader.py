"""Logit reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from tiltlm.contexts.token_contexts import TokenContexts, collate
from tiltlm.errors import ModelError
from tiltlm.models.head import Head, hidden_states

TOKENS = 1024
"""Tokens read at once, padding included."""


class LogitReader:
    """A model as a row for every position, and logits from rows.

    Rows are hidden states; of a model whose logits are no product of its head, the logits
    themselves.
    """

    def __init__(self, model: Any, head: Head | None = None) -> None:
        self.model = model
        self.head: Head | None = head
        if head is None:
            try:
                self.head = Head.of(model)
            except ModelError:
                self.head = None

    def rows(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, length, D or V)."""
        with torch.no_grad():
            ids, mask = ids.to(self.model.device), mask.to(self.model.device)
            if self.head is not None:
                return hidden_states(self.model, ids, mask)
            found: torch.Tensor = self.model(
                input_ids=ids, attention_mask=mask, use_cache=False
            ).logits
            return found

    def read(self, contexts: TokenContexts, indices: Sequence[int]) -> list[torch.Tensor]:
        """Rows of some contexts, read together.

        Args:
            contexts: all of them.
            indices: which to read.

        Returns:
            for each of ``indices`` (length, D or V), without padding.
        """
        batch = collate([contexts[i] for i in indices])
        mask = batch["attention_mask"]
        found = self.rows(batch["input_ids"], mask)
        return [row[:count] for row, count in zip(found, mask.sum(1).tolist(), strict=True)]

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, V) float32."""
        with torch.no_grad():
            return rows.float() if self.head is None else self.head.logits(rows)


def batches_of(contexts: TokenContexts) -> Iterator[list[int]]:
    """Numbers of contexts of like length, so many that they are read at once."""
    order = sorted(range(len(contexts)), key=lambda i: -len(contexts.sequences[i]))
    while order:
        size = max(1, TOKENS // len(contexts.sequences[order[0]]))
        yield order[:size]
        order = order[size:]
