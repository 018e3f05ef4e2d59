"""Which prompts to ask after next: those that tell most of what is still open.

What is likeliest has several rivals, and prompts that tell it from one may say nothing of another.
So prompts are mixed such that the rival that is ruled out last is ruled out soonest: a game between
who picks the prompts and who picks the rival, solved by fictitious play.

Source: Chernoff 1959, "Sequential design of experiments"; Brown 1951, "Iterative solution of games
by fictitious play".
"""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.serving.verify.candidates import TELLING
from tiltlm.serving.verify.elimination import Elimination

_ROUNDS = 40
"""Rounds of the game."""


def best_mix(information: Array, needs: Array) -> Array:
    """With what frequencies prompts should be asked after.

    Args:
        information: (M, R) KL of what is likeliest from each of R rivals, nats a token.
        needs: (R,) nats that are missing for each to be ruled out, positive.

    Returns:
        (M,) frequencies; each is at most 1 / `TELLING`, so that no verdict hangs on one prompt.
    """
    payoff = information / needs
    count = min(TELLING, len(payoff))
    asked, gained = np.zeros(len(payoff)), np.zeros(len(needs))
    rivals = np.full(len(needs), 1 / len(needs))
    for turn in range(1, _ROUNDS + 1):
        best = np.argpartition(-(payoff @ rivals), count - 1)[:count]
        asked[best] += 1 / count
        gained += payoff[best].mean(0)
        # The rival that has gained least is picked more and more often.
        rivals += (np.arange(len(needs)) == gained.argmin()) / turn
        rivals /= rivals.sum()
    mix: Array = asked / _ROUNDS
    return mix


def next_prompts(
    test: Elimination, divergences: Array, count: int, draws: np.random.Generator
) -> list[int]:
    """Choose prompts that tell the likeliest hypothesis from its rivals.

    As long as tilt and base are both open, these two are told apart.

    Args:
        test: what was seen so far.
        divergences: (M, H, H) of the hypotheses after each of M prompts, nats; the tilt is the
            first of them, the base the second.
        count: how many; a prompt may come more than once.
        draws: random numbers.
    """
    leader, survivors = test.leader, test.survivors
    if {0, 1} <= set(survivors.tolist()):
        survivors = np.array([0, 1])
    rivals = survivors[survivors != leader]
    if not len(rivals):
        return [int(i) for i in draws.integers(len(divergences), size=count)]
    mix = best_mix(divergences[:, leader][:, rivals], test.needs[rivals] + 1e-3)
    return [int(i) for i in draws.choice(len(mix), size=count, p=mix / mix.sum())]
