"""Realise a target while decoding: exact, and the weights stay as they are."""

from __future__ import annotations

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel, load
from tiltlm.progress import Progress
from tiltlm.realise.held_out import measure_realised
from tiltlm.realise.preparation import Prepared, prepare
from tiltlm.realise.result import Tilted
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import Target


def decode(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> TiltLogitsProcessor:
    """The target as a transformers ``LogitsProcessor``, for ``generate(logits_processor=[…])``.

    Args:
        model: a name for `load`, or what `load` returned; its weights are not changed.
        target: a target, or its text.
        contexts: only used by a target that must be fitted to contexts, such as `match`; as for
            `prepare`.
        seed: of these contexts.
        progress: told how far work has come.

    Raises:
        TiltError: the target makes no sense for this model.
    """
    loaded = load(model) if isinstance(model, str) else model
    target = parse_target(target) if isinstance(target, str) else target
    bound = target.bind(loaded.vocabulary, loaded.tokenizer)
    if bound.needs_fit():
        bound = prepare(loaded, target, contexts, seed=seed, progress=progress).target
    return TiltLogitsProcessor(bound, loaded.tokenizer.pad_token_id)


def decode_prepared(prepared: Prepared) -> Tilted:
    """Measure what decoding does: the target's logits are made of the base's own.

    Args:
        prepared: whose target is fitted.

    Raises:
        MeasurementError: the target equals the reference at the held-out contexts.
    """
    return measure_realised(prepared, "decode", prepared.loaded.model, {})
