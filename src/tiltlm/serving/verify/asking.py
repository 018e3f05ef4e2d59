"""The loop of a verification: ask, rule out, and ask again where most is to be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tiltlm.auditing.asking import BatchCollector
from tiltlm.progress import NoProgress, Progress
from tiltlm.serving.verify.candidates import Candidates
from tiltlm.serving.verify.design import next_prompts
from tiltlm.serving.verify.elimination import Elimination
from tiltlm.serving.verify.learner import Learner
from tiltlm.serving.verify.servers import Drawn, Server
from tiltlm.serving.verify.strength import StrengthLine

_AT_ONCE = 8
"""Tokens that are asked for before it is looked whether that is enough."""

_UNREAD = 16
"""A server of which nothing was read so often is not asked any more."""

_MOST_POWER = 1e3
"""Power of ten that stands for infinite evidence, which JSON cannot write."""

_PROMPT_STREAM = 6_151
"""Random stream of the choice of prompts."""


class Verification:
    """What was drawn, and what that rules out.

    Args:
        candidates: all hypotheses after every prompt.
        error: probability that what is served is ruled out.
        budget: tokens to ask for at most.
        seed: of the choice of prompts and of the draws.

    Attributes:
        test: what is ruled out.
        line: how strong the tilt is.
        drawn: every token.
        cut_off: why no more came; None where nothing stopped it.
        told_apart_at: tokens after which tilt or base was ruled out; None while both are open.
        course: tokens read, and evidence against tilt and base then, as powers of ten.
    """

    def __init__(self, candidates: Candidates, *, error: float, budget: int, seed: int = 0) -> None:
        self.candidates, self.error, self.budget, self.seed = candidates, error, budget, seed
        weights = np.array([hypothesis.weight for hypothesis in candidates.hypotheses])
        self.test = Elimination(weights, error)
        self._learner = Learner(len(candidates.prompts[0].base))
        self.line = StrengthLine(candidates.prompts)
        self.drawn: list[Drawn] = []
        self.cut_off: str | None = None
        self.told_apart_at: int | None = None
        self.course: list[tuple[int, float, float]] = []

    def take(self, drawn: Sequence[Drawn]) -> None:
        """Count some tokens.

        Args:
            drawn: in the order in which they came.
        """
        for token in drawn:
            seen = self.candidates.seen(token.prompt, token.ids)
            tilt, base = np.exp(seen[:2])
            first, alike = int(token.ids.min()), len(token.ids)
            learnt = self._learner.say(token.prompt, first, alike, float(tilt), float(base))
            self.test.update(seen, learnt)
            self.line.update(token.prompt, token.ids)
            self.drawn.append(token)
            if self.told_apart_at is None and self._are_apart:
                self.told_apart_at = len(self.drawn)
        against = np.minimum(self.test.largest_log_e[:2] / np.log(10), _MOST_POWER).tolist()
        self.course.append((len(self.drawn), against[0], against[1]))

    def ask(self, server: Server, progress: Progress | None = None) -> None:
        """Ask until it is decided, or the budget is spent, or the server stops answering.

        Args:
            server: that is asked.
            progress: told how far work has come.

        Raises:
            ModelError: nothing ever came.
        """
        progress = progress or NoProgress()
        collector = BatchCollector[Drawn]()
        collector.items += self.drawn
        draws = np.random.default_rng([self.seed, _PROMPT_STREAM, len(self.drawn)])
        progress.begin("asking for tokens", self.budget)
        while not self.is_decided and len(self.drawn) < self.budget and not self.cut_off:
            count = min(_AT_ONCE, self.budget - len(self.drawn))
            prompts = next_prompts(self.test, self.candidates.divergences, count, draws)
            seed = self.seed * 100_003 + len(self.drawn) + server.unread
            batch = collector.collect(partial(server.draw, prompts, seed))
            self.cut_off = collector.cut_off
            if not batch and server.unread >= max(_UNREAD, len(self.drawn)):
                self.cut_off = "most of its answers are no tokens of the base's"
            self.take(batch) if batch else None
            progress.advance(len(self.drawn))

    @property
    def _are_apart(self) -> bool:
        return bool((self.test.largest_log_e[:2] >= self.test.threshold).any())

    @property
    def survivors(self) -> list[int]:
        """Numbers of the hypotheses that are not ruled out."""
        return [int(number) for number in self.test.survivors]

    @property
    def families(self) -> set[str]:
        """Of those that are not ruled out."""
        return {self.candidates.hypotheses[number].family for number in self.survivors}

    @property
    def is_decided(self) -> bool:
        """Whether all that is left has one name, or nothing is left."""
        return len(self.families) <= 1
