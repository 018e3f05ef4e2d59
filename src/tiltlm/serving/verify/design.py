"""Which prompts to ask after next: those that tell most of what is still open.

Source: Chernoff 1959, "Sequential design of experiments".
"""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.serving.verify.elimination import Elimination

_BEST = 12
"""Among so many of the best prompts one is drawn, so that no verdict hangs on one of them."""


def next_prompts(
    test: Elimination, divergences: Array, count: int, draws: np.random.Generator
) -> list[int]:
    """Choose prompts that tell the likeliest hypothesis from the rival that takes longest.

    Args:
        test: what was seen so far.
        divergences: (M, H, H) of the hypotheses after each of M prompts, nats.
        count: how many; a prompt may come more than once.
        draws: random numbers.
    """
    leader, survivors = test.leader, test.survivors
    rivals = survivors[survivors != leader]
    if not len(rivals):
        return [int(i) for i in draws.integers(len(divergences), size=count)]
    each = divergences[:, leader]  # (M, H)
    best = np.sort(each[:, rivals], axis=0)[-_BEST:].mean(0)
    slowest = rivals[(test.needs[rivals] / np.maximum(best, 1e-9)).argmax()]
    telling = np.argsort(each[:, slowest])[-_BEST:]
    return [int(telling[i]) for i in draws.integers(len(telling), size=count)]
