"""What every realisation begins with: a bound target, contexts in parts, the reference there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from peft.tuners.tuners_utils import BaseTunerLayer

from tiltlm.contexts.for_target import contexts_for, retention_for, split_choices, with_trigger_met
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.split import Split, split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ModelError
from tiltlm.labels.label import LabelBase
from tiltlm.models.fingerprint import fingerprint
from tiltlm.models.loading import LoadedModel, hub_name, load
from tiltlm.progress import NoProgress, Progress
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import BoundTarget, Target


@dataclass
class Prepared:
    """A target bound to a model, and the reference at contexts in parts that share none.

    Attributes:
        loaded: the model, whose weights are still those of the reference.
        base: how a label names it.
        target: bound and fitted.
        sentence: the target in words.
        parts: contexts to fit on, to stop training by, and to take figures from.
        fit: the reference at the contexts to fit on.
        held_out: the reference at the contexts to take figures from.
        seed: of contexts, their split, and training.
        progress: is told how far work has come.
        seconds: that each part took.
    """

    loaded: LoadedModel
    base: LabelBase
    target: BoundTarget
    sentence: str
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
    check: Callable[[BoundTarget], None] | None = None,
    retention: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """Bind a target to a model, make and split contexts, and read the reference there.

    Args:
        model: a name for `load`, or what it returned.
        target: a target, or its text.
        contexts: contexts, or a source for `make_contexts`; the default is the model's own
            samples, which are kept in the cache. For `choices`, where the model should stay as it
            is besides its own prompts; the default is other prompts with the model's own answers.
        seed: of contexts, their split, and training.
        check: may refuse the bound target, before anything that takes time.
        retention: whether `choices` without contexts need those other prompts; decoding, which
            does nothing elsewhere, does not.
        progress: is told how far work has come.

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
    bound = target.bind(loaded.vocabulary, loaded.tokenizer)
    if check is not None:
        check(bound)
    base = _base_of(loaded, seed)
    seconds: dict[str, float] = {}
    begin = time.monotonic()
    parts = _parts(bound, loaded, contexts, base.sha256, seed, retention, progress)
    seconds["contexts"] = time.monotonic() - begin
    begin = time.monotonic()
    count = len(parts.fit)
    progress.begin("reading the reference", count + len(parts.held_out))
    fit = Reference(loaded.model, parts.fit, advance=progress.advance)
    held_out = Reference(
        loaded.model,
        parts.held_out,
        head=fit.head,
        advance=lambda done: progress.advance(count + done),
    )
    seconds["reference"] = time.monotonic() - begin
    work = Prepared(
        loaded, base, bound, target.sentence(), parts, fit, held_out, seed, progress, seconds
    )
    rebind(work, bound)
    return work


def rebind(work: Prepared, target: BoundTarget) -> None:
    """Take another target over the same model and contexts; fit it where it needs that.

    Args:
        work: whose target is replaced.
        target: bound to the same vocabulary.

    Raises:
        TargetError: it cannot be fitted to these contexts.
    """
    begin = time.monotonic()
    if target.needs_fit():
        target.fit(lambda: work.fit.rows(target))
    work.target = target
    work.seconds["fit"] = time.monotonic() - begin


def _base_of(loaded: LoadedModel, seed: int) -> LabelBase:
    """How a label names a model whose weights are still its own."""
    name = loaded.name or loaded.model.name_or_path or type(loaded.model).__name__
    return LabelBase(
        name=name,
        sha256=fingerprint(loaded.model),
        hub_name=hub_name(name),
        seed=seed if name == "model5" else None,
    )


def _parts(
    target: BoundTarget,
    loaded: LoadedModel,
    contexts: TokenContexts | str | None,
    key: str | None,
    seed: int,
    retention: bool,
    progress: Progress,
) -> Split:
    """Contexts to fit on, to stop training by, and to take figures from."""
    if target.choices is not None:
        held_elsewhere = None
        if retention or contexts is not None:
            held_elsewhere = retention_for(target.choices, loaded, contexts, seed, progress)
        return split_choices(target.choices, held_elsewhere, seed)
    made = contexts_for(loaded, contexts, target.context_count, seed, key, progress)
    one_text = isinstance(contexts, str) and contexts.startswith(("text:", "dataset:"))
    parts = split(made, seed, shuffle=not one_text)
    if target.trigger is not None and not isinstance(contexts, TokenContexts):
        parts = with_trigger_met(target, made, parts, loaded, seed, progress)
    return parts
