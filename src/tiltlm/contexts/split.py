"""Split."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError


class Split(NamedTuple):
    """Contexts in parts that share none: to fit on, to stop by, and to take figures from."""

    fit: TokenContexts
    tune: TokenContexts
    held_out: TokenContexts


def split(contexts: TokenContexts, seed: int = 0, *, shuffle: bool = True) -> Split:
    """Four sevenths to fit on, one to stop by, two to take figures from.

    Args:
        contexts: at least 4 of them.
        seed: of the shuffling.
        shuffle: False for pieces of one text, whose neighbours are alike.

    Raises:
        ConfigError: there are too few.
    """
    count = len(contexts)
    if count < 4:
        raise ConfigError(
            f"there are {count} contexts ({contexts.kind}), at least 4 are needed: "
            "figures come from contexts that were not fitted to",
            fix="give more of them",
        )
    order = np.random.default_rng(seed).permutation(count) if shuffle else np.arange(count)
    held, tune = max(1, round(count * 2 / 7)), max(1, round(count / 7))
    places = [int(i) for i in order]
    fit = places[: count - held - tune]
    return Split(
        contexts.choose(fit),
        contexts.choose(places[len(fit) : len(fit) + tune]),
        contexts.choose(places[count - held :]),
    )
