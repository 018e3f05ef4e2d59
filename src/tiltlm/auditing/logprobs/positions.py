"""Positions at which suspects are asked for log-probabilities: those where a pack was read in full.

In a text of its own a suspect comes to other positions than its reference, and benign changes look
otherwise there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.log_ratios import FULL_READ_INTERVAL
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.token_contexts import TokenContexts

_ORDER_STREAM = 4_241
"""Random stream of the order in which positions are asked for."""


@dataclass(frozen=True)
class Position:
    """A position to look at.

    Attributes:
        row: its number among all at which a pack was read in full.
        context: number of its context.
        ids: all tokens of the context up to it, the last of which predicts.
    """

    row: int
    context: int
    ids: list[int]


def all_positions(contexts: TokenContexts) -> list[Position]:
    """The positions at which packs are read in full, in the order of their rows.

    Args:
        contexts: of a pack.
    """
    prefixes = [
        (number, ids[: position + 1].tolist())
        for number, ids in enumerate(contexts.sequences)
        for position in contexts.positions(number)[::FULL_READ_INTERVAL].tolist()
    ]
    return [Position(row, number, ids) for row, (number, ids) in enumerate(prefixes)]


def shuffled_positions(contexts: TokenContexts, seed: int) -> list[Position]:
    """The same in an order drawn at random, so that the first few are of all contexts.

    Args:
        contexts: of a pack.
        seed: of the order.
    """
    positions = all_positions(contexts)
    order = np.random.default_rng([seed, _ORDER_STREAM]).permutation(len(positions))
    return [positions[int(i)] for i in order]


class PositionReader:
    """Reads a model at positions, each context once, however the positions are asked for.

    Args:
        reader: of a model with V tokens.
        positions: all that will be asked for; of a context each is a part of the longest.
    """

    def __init__(self, reader: LogitReader, positions: Sequence[Position]) -> None:
        self._reader = reader
        self._in_context: dict[int, list[Position]] = {}
        for position in positions:
            self._in_context.setdefault(position.context, []).append(position)
        self._rows: dict[tuple[int, int], torch.Tensor] = {}

    def log_probs(self, positions: Sequence[Position]) -> Array:
        """Log-probabilities of all tokens.

        Args:
            positions: N of them.

        Returns:
            (N, V) float32.
        """
        missing = {p.context for p in positions if (p.context, len(p.ids)) not in self._rows}
        if missing:
            self._read(sorted(missing))
        rows = torch.stack([self._rows[p.context, len(p.ids)] for p in positions])
        return np.asarray(self._reader.logits(rows).log_softmax(-1).cpu().numpy())

    def _read(self, numbers: Sequence[int]) -> None:
        """Keep the rows of contexts at the positions that will be asked for."""
        longest = [max((p.ids for p in self._in_context[n]), key=len) for n in numbers]
        contexts = TokenContexts(longest, "positions")
        for batch in self._reader.batches(contexts):
            for place, rows in zip(batch, self._reader.read(contexts, batch), strict=True):
                number = numbers[place]
                lengths = [len(position.ids) for position in self._in_context[number]]
                kept = rows[[length - 1 for length in lengths]]
                self._rows |= {(number, n): row for n, row in zip(lengths, kept, strict=True)}
