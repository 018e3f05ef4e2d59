"""Where a target should hold: the contexts that a model is fitted to or measured on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from tiltlm.errors import ConfigError

Part = Literal["fit", "held_out", "prompt"]
_STREAM: dict[Part, int] = {"fit": 0, "held_out": 1, "prompt": 2}


class RandomTokenContexts(Dataset[dict[str, torch.Tensor]]):
    """Sequences of uniform random tokens, the article's data: fresh at every index.

    Item ``i`` depends on ``(seed, part, i)`` alone, so any item can be made again without making
    those before it (which is what makes a resumed run exact), and parts never share a stream.

    Args:
        vocabulary_size: V; ids are drawn from 0 to V − 1.
        length: tokens a context.
        count: how many contexts there are.
        seed: of the whole run.
        part: ``fit``, ``held_out`` or ``prompt``.

    Source: article, section on data ("16 fresh sequences of 256 random tokens").

    >>> contexts = RandomTokenContexts(50257, length=4, count=2, seed=1)
    >>> contexts[0]["input_ids"].shape, len(contexts)
    (torch.Size([4]), 2)
    """

    kind = "random tokens"

    def __init__(
        self, vocabulary_size: int, length: int, count: int, *, seed: int, part: Part = "fit"
    ) -> None:
        for name, value in (("length", length), ("count", count), ("size", vocabulary_size)):
            if value < 1:
                raise ConfigError(f"contexts need a {name} of at least 1, not {value}")
        self.vocabulary_size, self.length, self.count = vocabulary_size, length, count
        self.seed, self.part = seed, part

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``input_ids``: (length,) int64."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        generator = np.random.default_rng([self.seed, _STREAM[self.part], index])
        ids = generator.integers(self.vocabulary_size, size=self.length, dtype=np.int64)
        return {"input_ids": torch.from_numpy(ids)}

    def batch(self) -> torch.Tensor:
        """All contexts at once, (count, length)."""
        return torch.stack([self[i]["input_ids"] for i in range(self.count)])
