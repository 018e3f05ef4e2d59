"""Somebody who has no hypothesis: says what comes after a prompt by what came after it before.

Pólya's urn: as many tokens as `_PRIOR` are in it at first, of base and tilt and a few of any kind;
each token that was drawn is put in. What is served at a prompt that is asked after often is learnt,
whatever it is.
"""

from __future__ import annotations

import math
from collections import Counter

_PRIOR = 4.0
"""How many draws the first opinion weighs."""

_ANY = 0.1
"""Share of tokens of any kind in it; base and tilt have half of the rest each."""


class Learner:
    """Learns what is drawn after each prompt.

    Args:
        size: V.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[int, Counter[int]] = {}

    def say(self, prompt: int, token: int, alike: int, tilt: float, base: float) -> float:
        """The log-probability that it gives to a token, nats; then it learns of it.

        Args:
            prompt: number of the prompt that the token came after.
            token: what was seen: the first of the tokens that it may be.
            alike: how many tokens it may be.
            tilt: probability of what was seen under the tilt.
            base: likewise under the base.
        """
        seen = self._counts.setdefault(prompt, Counter())
        first = _ANY * alike / self._size + (1 - _ANY) / 2 * (tilt + base)
        said = (seen[token] + _PRIOR * first) / (seen.total() + _PRIOR)
        seen[token] += 1
        return math.log(said)
