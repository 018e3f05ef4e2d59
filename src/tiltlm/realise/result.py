"""`decode` and `edit` bring a model to a target, and measure it; `train` has a room of its own.

Each binds the target, splits the contexts into a part to fit on and a held-out part, realises, and
takes every figure from the held-out part.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.contexts.reference import Reference
from tiltlm.measures.fidelity import Fidelity, ModelLogits, measure_fidelity
from tiltlm.measures.string_distribution import measure_strings
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.prepare import Prepared
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.target import BoundTarget

By = Literal["decode", "edit", "train"]


@dataclass
class Tilted:
    """A realised target with what was measured.

    Attributes:
        by: how it was realised.
        model: the tilted model: plain, or with a peft adapter; for decode the untouched base.
        tokenizer: the base's.
        target: bound and fitted.
        processor: the logits processor, for decode.
        fidelity: on held-out contexts.
        contexts: what they were.
        details: what the realisation has to say of itself (R², steps, …).
        seconds: of each part.
    """

    by: By
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    target: BoundTarget
    processor: TiltLogitsProcessor
    fidelity: Fidelity
    contexts: str
    details: dict[str, Any]
    seconds: dict[str, float]


def model_logits(model: Any, reference: Reference) -> ModelLogits:
    """A model's logits at every position of a context of the reference's.

    A body that is still the reference's own is not run again.
    """
    body = FrozenBody.of(model, reference)

    def logits(index: int) -> torch.Tensor:
        ids = reference.contexts.sequences[index][None].to(model.device)
        with torch.no_grad(), body.answering([index]) if body else nullcontext():
            found: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
        return found

    return logits


def measured(work: Prepared, by: By, model: Any, details: dict[str, Any]) -> Tilted:
    model.eval()
    fidelity = held_out_fidelity(work, model_logits(model, work.held_out))
    choosing = work.target.choices
    if choosing is not None:
        details["strings"] = [found.as_dict() for found in measure_strings(model, choosing)]
    return Tilted(
        by,
        model,
        work.loaded.tokenizer,
        work.target,
        TiltLogitsProcessor(work.target, work.loaded.tokenizer.pad_token_id),
        fidelity,
        work.parts.held_out.kind,
        details,
        work.seconds,
    )


def held_out_fidelity(work: Prepared, logits: ModelLogits) -> Fidelity:
    begin = time.monotonic()
    work.progress.begin("measuring on held-out contexts", len(work.parts.held_out))
    found = measure_fidelity(work.target, work.held_out, logits, work.progress.advance)
    work.seconds["measure"] = time.monotonic() - begin
    return found
