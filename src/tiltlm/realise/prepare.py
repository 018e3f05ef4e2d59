"""What every realisation begins with: a bound target, contexts in parts, the reference there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from peft.tuners.tuners_utils import BaseTunerLayer

from tiltlm.contexts.for_target import (
    contexts_for,
    retention_for,
    split_choices,
    with_trigger_met,
)
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.split import Split, split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ModelError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel, load
from tiltlm.progress import NoProgress, Progress
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import BoundTarget, Target


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
    progress: Progress
    seconds: dict[str, float]


def prepare(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    *,
    seed: int = 0,
    key: str | None = None,
    check: Callable[[BoundTarget], None] | None = None,
    progress: Progress | None = None,
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
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    progress = progress or NoProgress()
    loaded = load(model) if isinstance(model, str) else model
    loaded.model.eval()
    if any(isinstance(module, BaseTunerLayer) for module in loaded.model.modules()):
        raise ModelError(
            "an adapter is in the model already, so it is not the model that it was loaded as",
            where=type(loaded.model).__name__,
            fix="take it out with unload() of the tilted model, or load the model anew",
        )
    target = parse_target(target) if isinstance(target, str) else target
    vocabulary = loaded.vocabulary
    bound = target.bind(vocabulary, loaded.tokenizer)
    if check is not None:
        check(bound)
    seconds: dict[str, float] = {}
    begin = time.monotonic()
    choosing = bound.choices
    if choosing is not None:
        parts = split_choices(
            choosing, retention_for(choosing, loaded, contexts, seed, progress), seed
        )
    else:
        found = contexts_for(loaded, contexts, bound.context_count, seed, key, progress)
        one_text = isinstance(contexts, str) and contexts.startswith(("text:", "dataset:"))
        parts = split(found, seed, shuffle=not one_text)
        if bound.trigger is not None and not isinstance(contexts, TokenContexts):
            parts = with_trigger_met(bound, found, parts, loaded, seed, progress)
    seconds["contexts"] = time.monotonic() - begin
    begin = time.monotonic()
    progress.begin("reading the reference", len(parts.fit) + len(parts.held_out))
    fit = Reference(loaded.model, parts.fit, advance=progress.advance)
    held = Reference(
        loaded.model,
        parts.held_out,
        head=fit.head,
        advance=lambda n: progress.advance(len(parts.fit) + n),
    )
    seconds["reference"] = time.monotonic() - begin
    prepared = Prepared(loaded, vocabulary, bound, parts, fit, held, seed, progress, seconds)
    bind_to(prepared, bound)
    return prepared


def bind_to(prepared: Prepared, target: BoundTarget) -> None:
    """Take another target over the same model and contexts; fit it where it needs that."""
    begin = time.monotonic()
    if target.needs_fit():
        target.fit(lambda: prepared.fit.rows(target))
    prepared.target = target
    prepared.seconds["fit"] = time.monotonic() - begin
