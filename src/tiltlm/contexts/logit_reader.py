"""A model's logits at the positions of contexts, read in batches and made a block at a time.

Contexts of like length go through the model together. What is kept of a position is its hidden
state, V/D times smaller than its logits; the head makes logits of it when a block of positions is
wanted. Knows nothing of targets or events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from tiltlm.contexts.token_contexts import TokenContexts, collate
from tiltlm.errors import ModelError
from tiltlm.models.batching import TOKENS, in_halves, tokens_at_once
from tiltlm.models.blocks import output_states
from tiltlm.models.head import Head, full_head, hidden_states
from tiltlm.models.structure import input_device

PositionBlock = list[tuple[int, torch.Tensor]]
"""Positions whose logits are made together: the number of a context in its batch, and (n,) which
of its positions, for each context that has a part in the block."""


class LogitReader:
    """Reads a model at contexts: a row for every position, and logits from rows.

    Rows are hidden states; of a model whose logits are no product of its head they are the logits
    themselves.

    Args:
        model: a causal language model in evaluation mode; it is only read.

    Attributes:
        model: the same.
        head: from hidden states to logits; None where the model's logits are no product of one.
    """

    def __init__(self, model: Any, head: Head | None = None) -> None:
        self.model = model
        self.head: Head | None = head
        if head is None:
            try:
                self.head = Head.of(model)
            except ModelError:
                self.head = None

    def batches(self, contexts: TokenContexts) -> list[list[int]]:
        """Numbers of contexts in batches, as many in one as there is room for; see `batches_of`."""
        return list(batches_of(contexts, tokens_at_once(self.model)))

    def rows(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Rows of a padded batch, which is halved where there is no room for it.

        Args:
            ids: (batch, length) token ids, padded on the right.
            mask: (batch, length), 1 where a token is no padding.

        Returns:
            (batch, length, D), or (batch, length, V) without a head; rows of padding mean nothing.
        """
        return in_halves(self._rows, ids, mask)

    def _rows(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What `rows` returns, all at once."""
        with torch.no_grad():
            device = input_device(self.model)
            ids, mask = ids.to(device), mask.to(device)
            if self.head is not None:
                return hidden_states(self.model, ids, mask)
            with full_head(self.model):
                outputs = self.model(input_ids=ids, attention_mask=mask, use_cache=False)
            logits: torch.Tensor = outputs.logits
            return logits

    def read(self, contexts: TokenContexts, indices: Sequence[int]) -> list[torch.Tensor]:
        """Rows of some contexts, which go through the model together.

        Args:
            contexts: all of them.
            indices: which to read.

        Returns:
            for each of ``indices`` (length, D or V), without padding, on the model's device.
        """
        batch = collate([contexts[i] for i in indices])
        mask = batch["attention_mask"]
        padded = self.rows(batch["input_ids"], mask)
        return [rows[:count] for rows, count in zip(padded, mask.sum(1).tolist(), strict=True)]

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits of positions.

        Args:
            rows: (N, D), or (N, V) without a head.

        Returns:
            (N, V) float32.
        """
        with torch.no_grad():
            return rows.float() if self.head is None else self.head.logits(rows)

    def logits_of(self, rows: Sequence[torch.Tensor], block: PositionBlock) -> torch.Tensor:
        """Logits of a block of positions.

        Args:
            rows: of each context of a batch, as `read` gives them.
            block: N positions of these contexts.

        Returns:
            (N, V) float32, in the block's order.
        """
        return self.logits(rows_of(rows, block))


class KeepingReader(LogitReader):
    """A reader that keeps the rows of the contexts it read last, to be read beside many models.

    Args:
        model: as for `LogitReader`; its weights stay as they are.
        head: likewise.
    """

    def __init__(self, model: Any, head: Head | None = None) -> None:
        super().__init__(model, head)
        self._contexts: TokenContexts | None = None
        self._rows_by_batch: dict[tuple[int, ...], list[torch.Tensor]] = {}

    def read(self, contexts: TokenContexts, indices: Sequence[int]) -> list[torch.Tensor]:
        """Rows of some contexts, as `LogitReader.read` gives them; the model is run once for them.

        Args:
            contexts: all of them; rows of others are forgotten.
            indices: which to read.
        """
        if contexts is not self._contexts:
            self._contexts, self._rows_by_batch = contexts, {}
        batch = tuple(indices)
        if batch not in self._rows_by_batch:
            self._rows_by_batch[batch] = super().read(contexts, indices)
        return self._rows_by_batch[batch]


class BlockReader(LogitReader):
    """A reader whose rows are hidden states and, after them, the output of one of the blocks.

    Args:
        model: as for `LogitReader`.
        head: of the model.
        block: of the model.
    """

    def __init__(self, model: Any, head: Head, block: nn.Module) -> None:
        super().__init__(model, head)
        self._block = block

    def _rows(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, length, 2·D)."""
        outputs: list[torch.Tensor] = []
        hook = self._block.register_forward_hook(
            lambda _, __, output: outputs.append(output_states(output))
        )
        try:
            hidden = super()._rows(ids, mask)
        finally:
            hook.remove()
        return torch.cat([hidden, outputs[-1].to(hidden)], -1)


def rows_of(rows: Sequence[torch.Tensor], block: PositionBlock) -> torch.Tensor:
    """Rows of a block of positions.

    Args:
        rows: of each context of a batch, as `LogitReader.read` gives them.
        block: N positions of these contexts.

    Returns:
        (N, D or V), in the block's order.
    """
    return torch.cat([rows[number][positions] for number, positions in block])


def kept_on_host(rows: torch.Tensor) -> torch.Tensor:
    """A copy of rows for as long as they are wanted: in the host's memory, pinned for a GPU.

    Args:
        rows: on whatever device; perhaps a part of something larger, which is not kept.

    Returns:
        the same in the type in which the model made them.
    """
    kept = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=rows.device.type == "cuda")
    return kept.copy_(rows)


def batches_of(contexts: TokenContexts, tokens: int = TOKENS) -> Iterator[list[int]]:
    """Numbers of contexts of like length, the longest first, in batches.

    Args:
        contexts: all of them.
        tokens: of a batch at most; a context that is longer is a batch by itself.
    """
    order = sorted(range(len(contexts)), key=lambda i: -len(contexts.sequences[i]))
    while order:
        size = max(1, tokens // len(contexts.sequences[order[0]]))
        yield order[:size]
        order = order[size:]


def position_blocks(positions: Sequence[torch.Tensor], size: int) -> Iterator[PositionBlock]:
    """Cut the positions of several contexts, one after the other, into blocks.

    Args:
        positions: (n,) of each context of a batch.
        size: positions of a block; the last one may have fewer.

    >>> both = position_blocks([torch.arange(3), torch.arange(2)], 4)
    >>> [[(number, part.tolist()) for number, part in block] for block in both]
    [[(0, [0, 1, 2]), (1, [0])], [(1, [1])]]
    """
    block: PositionBlock = []
    room = size
    for number, left in enumerate(positions):
        while len(left):
            part, left = left[:room], left[room:]
            block.append((number, part))
            room -= len(part)
            if room == 0:
                yield block
                block, room = [], size
    if block:
        yield block
