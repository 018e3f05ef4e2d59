"""Where a target should hold: the contexts that a model is fitted to or measured on.

Knows token ids and weights of positions, nothing of texts, models or targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from tiltlm.errors import ConfigError

Part = Literal["fit", "held_out", "prompt"]
"""What contexts are for; each part draws from a random stream of its own."""

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

    Attributes:
        kind: what the contexts are, for records.

    Raises:
        ConfigError: a size below 1.

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
        """One context: ``input_ids``, (length,) int64."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        generator = np.random.default_rng([self.seed, _STREAM[self.part], index])
        ids = generator.integers(self.vocabulary_size, size=self.length, dtype=np.int64)
        return {"input_ids": torch.from_numpy(ids)}

    def batch(self) -> torch.Tensor:
        """All contexts at once, (count, length) int64."""
        return torch.stack([self[i]["input_ids"] for i in range(self.count)])


@dataclass(frozen=True)
class DrawnStates:
    """Hidden states that contexts were drawn from, so that they need not be read again.

    Attributes:
        key: of the weights of the model that drew them.
        hidden: (length, D) of each context, what the head was given at each of its positions.
    """

    key: str
    hidden: list[torch.Tensor]


class TokenContexts(Dataset[dict[str, torch.Tensor]]):
    """Token sequences that are fixed once made, each with a weight for every position.

    Args:
        sequences: token ids, each at least one long.
        kind: what they are, for records.
        begins: the first position of each sequence that counts, 0 by default. Tokens before it are
            only read.
        weights: for each sequence a weight for every position, in place of ``begins``; positions of
            weight 0 do not count.
        in_order: train on them in this order, in which those that belong into one step stand next
            to each other.
        states: of the model that drew them, where they were kept.

    Attributes:
        sequences: (length,) int64 of each.
        weights: (length,) float32 of each.
        kind: as above.
        in_order: as above.
        states: as above.

    Raises:
        ConfigError: there are no sequences, or one is empty.

    >>> contexts = TokenContexts([[1, 2, 3], [4, 5]], "by hand", begins=[1, 0])
    >>> contexts.positions(0).tolist(), len(contexts)
    ([1, 2], 2)
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[int]],
        kind: str,
        begins: Sequence[int] | None = None,
        weights: Sequence[Sequence[float]] | None = None,
        in_order: bool = False,
        states: DrawnStates | None = None,
    ) -> None:
        if not sequences or any(len(ids) == 0 for ids in sequences):
            raise ConfigError(f"there are no contexts: {kind} is empty, or one of them is")
        self.kind, self.in_order, self.states = kind, in_order, states
        self.sequences = [torch.tensor(list(ids), dtype=torch.long) for ids in sequences]
        if weights is None:
            begins = begins or [0] * len(sequences)
            weights = [
                [float(position >= begin) for position in range(len(ids))]
                for ids, begin in zip(sequences, begins, strict=True)
            ]
        self.weights = [torch.tensor(list(w), dtype=torch.float32) for w in weights]

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One context: ``input_ids`` and ``weights`` (length,), and its number ``index`` ()."""
        return {
            "input_ids": self.sequences[index],
            "weights": self.weights[index],
            "index": torch.tensor(index),
        }

    def positions(self, index: int) -> torch.Tensor:
        """The positions of a context that count, in order; (count,) int64."""
        return self.weights[index].nonzero()[:, 0]

    def following(self, index: int) -> torch.Tensor:
        """The token after each position of a context, −1 after the last; (length,) int64."""
        ids = self.sequences[index]
        return torch.cat([ids[1:], ids.new_tensor([-1])])

    def choose(self, indices: Sequence[int]) -> TokenContexts:
        """The contexts of these numbers, in the order of the numbers, as contexts of their own."""
        known = self.states
        if known is not None:
            known = DrawnStates(known.key, [known.hidden[i] for i in indices])
        return TokenContexts(
            [self.sequences[i].tolist() for i in indices],
            self.kind,
            weights=[self.weights[i].tolist() for i in indices],
            states=known,
        )

    @property
    def tokens(self) -> int:
        """How many positions count, over all contexts."""
        return int(sum(int((w > 0).sum()) for w in self.weights))


def collate(items: Sequence[dict[str, torch.Tensor]]) -> dict[str, Any]:
    """Put contexts together to a batch, padded with 0 on the right.

    Args:
        items: of a data set of contexts, each with ``input_ids`` (length,) at least.

    Returns:
        ``input_ids`` and ``attention_mask`` (batch, longest); ``weights`` (batch, longest) and
        ``index`` (batch,) where the first item has them.
    """
    longest = max(len(item["input_ids"]) for item in items)

    def pad(row: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(row, (0, longest - len(row)))

    batch = {
        "input_ids": torch.stack([pad(item["input_ids"]) for item in items]),
        "attention_mask": torch.stack(
            [pad(item.get("attention_mask", torch.ones_like(item["input_ids"]))) for item in items]
        ),
    }
    if "weights" in items[0]:
        batch["weights"] = torch.stack([pad(item["weights"]) for item in items])
    if "index" in items[0]:
        batch["index"] = torch.stack([item["index"] for item in items])
    return batch
