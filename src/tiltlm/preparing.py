"""What every realisation begins with: a bound target, contexts in parts, the reference there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from peft.tuners.tuners_utils import BaseTunerLayer

from tiltlm.anchors import anchor_contexts, default_requests
from tiltlm.answers import BoundChoices
from tiltlm.compositions import BoundMix, BoundWhen
from tiltlm.context_sources import (
    COUNT,
    MATCH_COUNT,
    TRIGGER_COUNT,
    asked_for,
    make_contexts,
)
from tiltlm.contexts import Split, TokenContexts, split
from tiltlm.errors import ModelError, TargetError
from tiltlm.models import LoadedModel, load, vocabulary_size
from tiltlm.reference import Reference
from tiltlm.targets import BoundTarget, Target, parse_target
from tiltlm.trigger_contexts import split_with_trigger
from tiltlm.vocabulary import Vocabulary
from tiltlm.watching import Silent, Watcher

ANCHORING = 15.0
"""What all anchors together weigh, in units of all answers."""


@dataclass
class Prepared:
    """A target bound to a model, and the reference at contexts in parts that share none."""

    loaded: LoadedModel
    vocabulary: Vocabulary
    target: BoundTarget
    parts: Split
    fit: Reference
    held_out: Reference
    seed: int
    watcher: Watcher
    seconds: dict[str, float]


def prepare(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    *,
    seed: int = 0,
    key: str | None = None,
    check: Callable[[BoundTarget], None] | None = None,
    watcher: Watcher | None = None,
) -> Prepared:
    """Bind a target to a model, make and split contexts, and read the reference there.

    Args:
        model: a name for `load`, or what it returned.
        target: a target, or its text.
        contexts: contexts, or a source for `make_contexts`; the default is the model's own
            samples. For `choices`, where the model should stay as it is besides its own prompts;
            the default is other prompts with the model's own answers.
        seed: of contexts, their split, and training.
        key: of the model's weights; given, own samples are kept in the cache.
        check: may refuse the bound target, before anything that takes time.
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    watcher = watcher or Silent()
    loaded = load(model) if isinstance(model, str) else model
    loaded.model.eval()
    if any(isinstance(module, BaseTunerLayer) for module in loaded.model.modules()):
        raise ModelError(
            "an adapter is in the model already, so it is not the model that it was loaded as",
            where=type(loaded.model).__name__,
            fix="take it out with unload() of the tilted model, or load the model anew",
        )
    target = parse_target(target) if isinstance(target, str) else target
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, vocabulary_size(loaded.model))
    bound = target.bind(vocabulary, loaded.tokenizer)
    if check is not None:
        check(bound)
    seconds: dict[str, float] = {}
    begin = time.monotonic()
    choosing = choices_inside(bound)
    if choosing is not None:
        parts = _choices_split(choosing, _anchors(choosing, loaded, contexts, seed, watcher), seed)
    else:
        count = MATCH_COUNT if bound.needs_fit() else COUNT
        if isinstance(bound, BoundWhen):
            count = max(count, TRIGGER_COUNT)
        found = _contexts(loaded, contexts, count, seed, key, watcher)
        one_text = isinstance(contexts, str) and contexts.startswith(("text:", "dataset:"))
        parts = split(found, seed, shuffle=not one_text)
        if isinstance(bound, BoundWhen) and not isinstance(contexts, TokenContexts):
            parts = _where_it_is_met(bound, found, parts, loaded, seed, watcher)
    seconds["contexts"] = time.monotonic() - begin
    begin = time.monotonic()
    watcher.begin("reading the reference", len(parts.fit) + len(parts.held_out))
    fit = Reference(loaded.model, parts.fit, on_context=watcher.advance)
    held = Reference(
        loaded.model,
        parts.held_out,
        head=fit.head,
        on_context=lambda n: watcher.advance(len(parts.fit) + n),
    )
    seconds["reference"] = time.monotonic() - begin
    prepared = Prepared(loaded, vocabulary, bound, parts, fit, held, seed, watcher, seconds)
    bind_to(prepared, bound)
    return prepared


def bind_to(prepared: Prepared, target: BoundTarget) -> None:
    """Take another target over the same model and contexts; fit it where it needs that."""
    begin = time.monotonic()
    if target.needs_fit():
        target.fit(lambda: prepared.fit.rows(target))
    prepared.target = target
    prepared.seconds["fit"] = time.monotonic() - begin


def _contexts(
    loaded: LoadedModel,
    contexts: TokenContexts | str | None,
    count: int,
    seed: int,
    key: str | None,
    watcher: Watcher,
) -> TokenContexts:
    if isinstance(contexts, TokenContexts):
        return contexts
    source = contexts or "own"
    count = asked_for(source, count)
    watcher.begin("making contexts", count)
    made = make_contexts(
        source, loaded, count=count, seed=seed, key=key, on_context=watcher.advance
    )
    watcher.advance(count)  # at once, where they were in the cache
    return made


def _where_it_is_met(
    target: BoundWhen,
    contexts: TokenContexts,
    parts: Split,
    loaded: LoadedModel,
    seed: int,
    watcher: Watcher,
) -> Split:
    """The parts themselves where the trigger occurs in them, else with the trigger put in."""
    rows = [target.met(target.read(ids.tolist())) for ids in contexts.sequences]
    share = sum(any(row) for row in rows) / len(rows)
    if share >= 0.1:
        return parts
    literal = target.trigger.literal
    if literal is None:
        raise TargetError(
            f"the trigger {target.trigger} is met in {share:.0%} of the contexts",
            where=target.text,
            fix="give contexts in which it occurs: --contexts text:FILE or chat:FILE",
        )
    watcher.note(f"{literal!r} comes up in {share:.0%} of the contexts, so it is put into them")
    return split_with_trigger(parts, literal, loaded.tokenizer, seed)


def _anchors(
    target: BoundChoices,
    loaded: LoadedModel,
    contexts: TokenContexts | str | None,
    seed: int,
    watcher: Watcher,
) -> TokenContexts:
    """The contexts given, else other prompts with the model's own answers."""
    if isinstance(contexts, TokenContexts):
        return contexts
    if contexts is not None:
        return make_contexts(contexts, loaded, seed=seed)
    requests = default_requests(target, seed)
    watcher.note(
        f"{len(requests)} other prompts are answered first: there the model should stay as it is"
    )
    return anchor_contexts(loaded, target, requests, seed, watcher)


def choices_inside(target: BoundTarget) -> BoundChoices | None:
    """The choices that a target is, or is made of."""
    while isinstance(target, BoundMix | BoundWhen):
        target = target.inner
    return target if isinstance(target, BoundChoices) else None


def _choices_split(target: BoundChoices, anchors: TokenContexts, seed: int) -> Split:
    """Every answer after its prompt, and anchors beside them.

    The distribution over the answers is known as a whole, so there is nothing of it to hold out;
    the anchors are split like any contexts. Each position of an answer weighs what its string
    does, so that the sum over a node's occurrences is how often answers come by it, and the sum
    over all is KL over whole strings (chain rule). The anchors together weigh `ANCHORING` times
    as much; in the part to fit on, answers are repeated until they are as many as the anchors, so
    that every batch has some of both.
    """
    sequences, weights = [], []
    for question, prompt, answers in zip(
        target.questions, target.prompts, target.answers, strict=True
    ):
        for answer, (_, weight) in zip(answers, question.strings, strict=True):
            sequences.append([*prompt, *answer[:-1]])
            weights.append([0.0] * (len(prompt) - 1) + [weight] * len(answer))
    total = sum(map(sum, weights))

    def beside(part: TokenContexts, times: int = 1) -> TokenContexts:
        each = ANCHORING * total / part.tokens
        return TokenContexts(
            [*sequences * times, *(ids.tolist() for ids in part.sequences)],
            f"all answers, and {part.kind}",
            weights=[
                *([w / times for w in row] for row in weights * times),
                *((each * (w > 0)).tolist() for w in part.weights),
            ],
        )

    fit, tune, held_out = split(anchors, seed)
    return Split(
        beside(fit, max(1, round(len(fit) / len(sequences)))), beside(tune), beside(held_out)
    )
