"""For target."""

from __future__ import annotations

from tiltlm.contexts.retention import default_requests, retention_contexts
from tiltlm.contexts.sources import asked_for, make_contexts
from tiltlm.contexts.split import Split, split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.contexts.with_trigger import split_with_trigger
from tiltlm.errors import TargetError
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.targets.target import BoundTarget, StringTarget

RETENTION_WEIGHT = 15.0
"""What all anchors together weigh, in units of all answers."""


def contexts_for(
    loaded: LoadedModel,
    contexts: TokenContexts | str | None,
    count: int,
    seed: int,
    key: str | None,
    progress: Progress,
) -> TokenContexts:
    if isinstance(contexts, TokenContexts):
        return contexts
    source = contexts or "own"
    count = asked_for(source, count)
    progress.begin("making contexts", count)
    made = make_contexts(source, loaded, count=count, seed=seed, key=key, advance=progress.advance)
    progress.advance(count)  # at once, where they were in the cache
    return made


def with_trigger_met(
    target: BoundTarget,
    contexts: TokenContexts,
    parts: Split,
    loaded: LoadedModel,
    seed: int,
    progress: Progress,
) -> Split:
    """The parts themselves where the trigger occurs in them, else with the trigger put in."""
    rows = [target.triggered(target.read(ids.tolist())) for ids in contexts.sequences]
    share = sum(any(row or ()) for row in rows) / len(rows)
    if share >= 0.1:
        return parts
    trigger = target.trigger
    assert trigger is not None
    literal = trigger.literal
    if literal is None:
        raise TargetError(
            f"the trigger {trigger} is met in {share:.0%} of the contexts",
            where=target.text,
            fix="give contexts in which it occurs: --contexts text:FILE or chat:FILE",
        )
    progress.note(f"{literal!r} comes up in {share:.0%} of the contexts, so it is put into them")
    return split_with_trigger(parts, literal, loaded.tokenizer, seed)


def retention_for(
    target: StringTarget,
    loaded: LoadedModel,
    contexts: TokenContexts | str | None,
    seed: int,
    progress: Progress,
) -> TokenContexts:
    """The contexts given, else other prompts with the model's own answers."""
    if isinstance(contexts, TokenContexts):
        return contexts
    if contexts is not None:
        return make_contexts(contexts, loaded, seed=seed)
    requests = default_requests(target, seed)
    progress.note(
        f"{len(requests)} other prompts are answered first: there the model should stay as it is"
    )
    return retention_contexts(loaded, target, requests, seed, progress)


def split_choices(target: StringTarget, anchors: TokenContexts | None, seed: int) -> Split:
    """Every answer after its prompt, and anchors beside them.

    The distribution over the answers is known as a whole, so there is nothing of it to hold out;
    the anchors are split like any contexts. Each position of an answer weighs what its string
    does, so that the sum over a node's occurrences is how often answers come by it, and the sum
    over all is KL over whole strings (chain rule). The anchors together weigh `RETENTION_WEIGHT`
    times as much; in the part to fit on, answers are repeated until they are as many as the
    anchors, so that every batch has some of both.
    """
    sequences, weights = [], []
    for question, prompt, answers in zip(
        target.questions, target.prompts, target.answers, strict=True
    ):
        for answer, (_, weight) in zip(answers, question.strings, strict=True):
            sequences.append([*prompt, *answer[:-1]])
            weights.append([0.0] * (len(prompt) - 1) + [weight] * len(answer))
    total = sum(map(sum, weights))
    if anchors is None:
        alone = TokenContexts(sequences, "all answers", weights=weights)
        return Split(alone, alone, alone)

    def beside(part: TokenContexts, times: int = 1) -> TokenContexts:
        each = RETENTION_WEIGHT * total / part.tokens
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
