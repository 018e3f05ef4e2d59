"""The contexts that a target is fitted to and measured on, in the parts that a realisation needs.

What a target needs follows from what it says of itself. For choices the contexts are all answers
with retention contexts beside them; a target with a trigger gets contexts in which the trigger
occurs; every other target takes contexts as they come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tiltlm.contexts.retention import default_requests, retention_contexts
from tiltlm.contexts.sources import asked_for, make_contexts
from tiltlm.contexts.splits import FIT_SHARE, Split, split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.contexts.with_trigger import split_with_trigger
from tiltlm.defaults import CONTEXT_TOKENS, CONTEXTS, FEWEST_CONTEXTS, FIT_TOKENS_PER_DIMENSION
from tiltlm.errors import TargetError
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress
from tiltlm.targets.bound import BoundTarget, StringTarget

RETENTION_WEIGHT = 15.0
"""What all retention contexts together weigh, in units of all answers."""

TRIGGERED_SHARE = 0.1
"""In fewer of the contexts than this share a trigger is rare, and is put into them."""


@dataclass(frozen=True)
class ContextMaker:
    """Makes the contexts for targets in one model.

    Attributes:
        loaded: the model, with its tokenizer.
        seed: of contexts and their split.
        key: of the model's weights; given, own samples are kept in the cache.
        progress: told how far work has come.
        fewest: contexts, unless the user says how many.
    """

    loaded: LoadedModel
    seed: int = 0
    key: str | None = None
    progress: Progress = field(default_factory=NoProgress)
    fewest: int = 0

    def parts(
        self, target: BoundTarget, contexts: TokenContexts | str | None, *, retention: bool = True
    ) -> Split:
        """Contexts to fit on, to stop training by, and to take figures from.

        Args:
            target: bound to the model's vocabulary.
            contexts: contexts, or a source for `make_contexts`; the default is the model's own
                samples. For `choices`, where the model should stay as it is besides its own
                prompts; the default is `retention_contexts`.
            retention: whether `choices` without contexts need retention contexts.

        Raises:
            ConfigError: there are too few contexts, or no such source.
            TargetError: the target's trigger hardly occurs in them and is no text to put in.
        """
        if target.choices is not None:
            if contexts is None and not retention:
                return split_choices(target.choices, None, self.seed)
            beside = self._retention(target.choices, contexts)
            return split_choices(target.choices, beside, self.seed)
        made = self._made(contexts or "own", target.fewest_contexts)
        one_text = isinstance(contexts, str) and contexts.startswith(("text:", "dataset:"))
        parts = split(made, self.seed, shuffle=not one_text)
        if target.triggers and not isinstance(contexts, TokenContexts):
            parts = self._with_trigger(target, made, parts)
        return parts

    def _made(self, contexts: TokenContexts | str, count: int) -> TokenContexts:
        """The contexts given, or of a source ``count`` at least."""
        if isinstance(contexts, TokenContexts):
            return contexts
        count = asked_for(contexts, max(count, self.fewest, contexts_to_fit(self.loaded)))
        self.progress.begin("making contexts", count)
        made = make_contexts(
            contexts,
            self.loaded,
            count=count,
            seed=self.seed,
            key=self.key,
            advance=self.progress.advance,
        )
        self.progress.advance(count)  # Contexts that were in the cache were not told of.
        return made

    def _retention(
        self, target: StringTarget, contexts: TokenContexts | str | None
    ) -> TokenContexts:
        """The contexts given, else retention contexts."""
        if contexts is not None:
            return self._made(contexts, target.fewest_contexts)
        requests = default_requests(target, self.seed)
        self.progress.note(
            f"{len(requests)} other prompts are answered first: there the model should stay as it "
            "is"
        )
        return retention_contexts(self.loaded, target, requests, self.seed, self.progress)

    def _with_trigger(self, target: BoundTarget, contexts: TokenContexts, parts: Split) -> Split:
        """The parts themselves where the trigger occurs in them, else with the trigger put in."""
        triggered = [target.triggered(target.read(ids.tolist())) for ids in contexts.sequences]
        share = sum(any(positions or ()) for positions in triggered) / len(triggered)
        if share >= TRIGGERED_SHARE:
            return parts
        literals = []
        for trigger in target.triggers:
            if trigger.literal is None:
                raise TargetError(
                    f"the trigger {trigger} is met in {share:.0%} of the contexts",
                    where=target.text,
                    fix="give contexts in which it occurs: --contexts text:FILE or chat:FILE",
                )
            literals.append(trigger.literal)
        named = " with ".join(map(repr, literals))
        self.progress.note(
            f"{named} comes up in {share:.0%} of the contexts, so it is put into them"
        )
        return split_with_trigger(parts, literals, self.loaded.tokenizer, self.seed)


def contexts_to_fit(loaded: LoadedModel) -> int:
    """How many contexts it takes to fit a target to a model, and to measure what came of it.

    A direction of the head is a regression on hidden states: so many tokens for each dimension.

    Args:
        loaded: whose hidden states are fitted to.
    """
    embedding: Any = loaded.model.get_input_embeddings()
    width: int = embedding.weight.shape[1]
    tokens = FIT_TOKENS_PER_DIMENSION * width / FIT_SHARE
    return min(CONTEXTS, max(FEWEST_CONTEXTS, math.ceil(tokens / CONTEXT_TOKENS)))


def split_choices(target: StringTarget, retention: TokenContexts | None, seed: int) -> Split:
    """Every answer after its prompt, with retention contexts beside the answers.

    The distribution over the answers is known as a whole, so there is nothing of it to hold out;
    the retention contexts are split like any contexts. Each position of an answer weighs what its
    string does, so that the sum over a node's occurrences is how often answers come by it, and the
    sum over all is KL over whole strings (chain rule). The retention contexts together weigh
    `RETENTION_WEIGHT` times as much. In the part to fit on, answers are repeated until they are as
    many as the retention contexts, so that every batch has some of both.

    Args:
        target: the distribution over answers.
        retention: where the model should stay as it is; None for nowhere.
        seed: of the split.
    """
    sequences, weights = [], []
    for question, prompt, answers in zip(
        target.questions, target.prompts, target.answers, strict=True
    ):
        for answer, (_, weight) in zip(answers, question.strings, strict=True):
            sequences.append([*prompt, *answer[:-1]])
            weights.append([0.0] * (len(prompt) - 1) + [weight] * len(answer))
    if retention is None:
        alone = TokenContexts(sequences, "all answers", weights=weights)
        return Split(alone, alone, alone)
    total = sum(map(sum, weights))

    def beside(part: TokenContexts, times: int = 1) -> TokenContexts:
        """The answers, so many times over, and a part of the retention contexts."""
        position_weight = RETENTION_WEIGHT * total / part.tokens
        return TokenContexts(
            [*sequences * times, *(ids.tolist() for ids in part.sequences)],
            f"all answers, and {part.kind}",
            weights=[
                *([weight / times for weight in row] for row in weights * times),
                *((position_weight * (row > 0)).tolist() for row in part.weights),
            ],
        )

    fit, tune, held_out = split(retention, seed)
    times = max(1, round(len(fit) / len(sequences)))
    return Split(beside(fit, times), beside(tune), beside(held_out))
