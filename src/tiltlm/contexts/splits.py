"""Contexts in three parts that share none, so that figures never come from what was fitted to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError

FEWEST = 4
"""Contexts that a split needs at least: two to fit on and one for each of the other parts."""

FIT_SHARE = 4 / 7
"""Of the contexts, to fit on."""


class Split(NamedTuple):
    """Contexts in three parts.

    Attributes:
        fit: to fit on.
        tune: to stop training by.
        held_out: to take figures from.
    """

    fit: TokenContexts
    tune: TokenContexts
    held_out: TokenContexts


def split_sizes(count: int) -> tuple[int, int, int]:
    """How many contexts are to fit on, to stop by, and held out.

    Args:
        count: of all of them.

    >>> split_sizes(112)
    (64, 16, 32)
    """
    held_out, tune = max(1, round(count * 2 / 7)), max(1, round(count / 7))
    return count - held_out - tune, tune, held_out


def split(contexts: TokenContexts, seed: int = 0, *, shuffle: bool = True) -> Split:
    """Split contexts: four sevenths to fit on, one to stop by, two to take figures from.

    Args:
        contexts: at least `FEWEST` of them.
        seed: of the shuffling.
        shuffle: False for pieces of one text, whose neighbours are alike.

    Raises:
        ConfigError: there are too few.
    """
    count = len(contexts)
    if count < FEWEST:
        raise ConfigError(
            f"too few contexts ({contexts.kind}): {count}, and at least {FEWEST} are needed, since "
            "figures come from contexts that were not fitted to",
            fix="give more of them",
        )
    shuffled = np.random.default_rng(seed).permutation(count) if shuffle else np.arange(count)
    fit, tune, held_out = split_sizes(count)
    order = [int(index) for index in shuffled]
    return Split(
        contexts.choose(order[:fit]),
        contexts.choose(order[fit : fit + tune]),
        contexts.choose(order[count - held_out :]),
    )
