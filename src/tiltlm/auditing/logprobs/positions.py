"""Positions at which suspects are asked for log-probabilities: those where a pack was read in full.

In a text of its own a suspect comes to other positions than its reference, and benign changes look
otherwise there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def log_probs_at(reader: LogitReader, positions: Sequence[Position]) -> Array:
    """Log-probabilities of all tokens; positions of one context are read together.

    Args:
        reader: of a model with V tokens.
        positions: N of them.

    Returns:
        (N, V) float32.
    """
    longest: dict[int, list[int]] = {}
    indices_in: dict[int, list[int]] = {}
    for index, position in enumerate(positions):
        indices_in.setdefault(position.context, []).append(index)
        if len(position.ids) > len(longest.get(position.context, [])):
            longest[position.context] = position.ids
    numbers = list(longest)
    contexts = TokenContexts([longest[number] for number in numbers], "positions")
    by_index: dict[int, Array] = {}
    for batch in reader.batches(contexts):
        for place, rows in zip(batch, reader.read(contexts, batch), strict=True):
            indices = indices_in[numbers[place]]
            logits = reader.logits(rows[[len(positions[i].ids) - 1 for i in indices]])
            log_probs = logits.log_softmax(-1).cpu().numpy()
            by_index.update(zip(indices, log_probs, strict=True))
    return np.stack([by_index[index] for index in range(len(positions))])
