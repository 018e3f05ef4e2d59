"""A data set for several processes, of which each has as many contexts in the last step.

Where the number of contexts is no multiple of the processes' batches, accelerate gives some of them
twice, so that the last step has another loss than in one process. Here the contexts that fill up
the step have weight 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset


class PaddedDataset(Dataset[dict[str, torch.Tensor]]):
    """A data set made longer by contexts that count nowhere.

    Args:
        contexts: the data set.
        each: the padded length is the next multiple of it.

    >>> from tiltlm.contexts.token_contexts import RandomTokenContexts
    >>> longer = PaddedDataset(RandomTokenContexts(9, length=2, count=3, seed=0), each=2)
    >>> [item["weights"].tolist() for item in longer]
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, contexts: Any, each: int) -> None:
        self._contexts, self._count = contexts, len(contexts)
        self._length = -(-self._count // each) * each

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """A context as the data set has it, always with ``weights``, which are 0 past its end."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        counts = index < self._count
        item: dict[str, torch.Tensor] = dict(self._contexts[index if counts else 0])
        if "weights" not in item:
            ones = torch.ones_like(item["input_ids"])
            item["weights"] = item.get("attention_mask", ones).float()
        if not counts:
            item["weights"] = torch.zeros_like(item["weights"])
        return item
