"""Decoding."""

from __future__ import annotations

from typing import Any

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel, load
from tiltlm.realise.prepare import Prepared, prepare
from tiltlm.realise.result import Tilted, held_out_fidelity
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import Target


def decode(
    target: Target | str,
    model: LoadedModel | str,
    contexts: TokenContexts | str | None = None,
    **options: Any,
) -> TiltLogitsProcessor:
    """The target as a transformers ``LogitsProcessor``; contexts are only used by `match`.

    Raises:
        TiltError: the target makes no sense for this model.
    """
    loaded = load(model) if isinstance(model, str) else model
    target = parse_target(target) if isinstance(target, str) else target
    vocabulary = loaded.vocabulary
    bound = target.bind(vocabulary, loaded.tokenizer)
    if bound.needs_fit():
        bound = prepare(loaded, target, contexts, **options).target
    return TiltLogitsProcessor(bound, loaded.tokenizer.pad_token_id)


def decode_prepared(work: Prepared) -> Tilted:
    """Measure what decoding does: the processor is applied to the base's own logits."""
    processor = TiltLogitsProcessor(work.target, work.loaded.tokenizer.pad_token_id)

    def logits(index: int) -> torch.Tensor:
        reference = work.held_out
        places = torch.arange(len(reference.hidden[index]))
        states = reference.states(work.target, index)
        return work.target.logits(reference.logits(index, places), states)

    fidelity = held_out_fidelity(work, logits)
    return Tilted(
        "decode",
        work.loaded.model,
        work.loaded.tokenizer,
        work.target,
        processor,
        fidelity,
        work.parts.held_out.kind,
        {},
        work.seconds,
    )
