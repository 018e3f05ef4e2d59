"""What came of a realisation, measured on contexts that it was not fitted to."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.measures.fidelity import Fidelity, ModelLogits, measure_fidelity
from tiltlm.measures.string_distribution import measure_strings
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.prepare import Prepared
from tiltlm.realise.result import Tilted
from tiltlm.records.tilt import By
from tiltlm.targets.logits_processor import TiltLogitsProcessor


def model_logits(model: Any, reference: Reference) -> ModelLogits:
    """A model's logits at every position of a context of the reference's.

    A body that is still the reference's own is not run again.

    Args:
        model: that was made from the reference's.
        reference: at the contexts that will be asked for.

    Returns:
        a function from the number of a context to its (length, V) logits.
    """
    body = FrozenBody.of(model, reference)

    def logits(index: int) -> torch.Tensor:
        ids = reference.contexts.sequences[index][None].to(model.device)
        with torch.no_grad(), body.answering([index]) if body else nullcontext():
            output: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
        return output

    return logits


def processor_logits(work: Prepared) -> ModelLogits:
    """The logits of the reference's held-out contexts as decoding turns them into the target's.

    Args:
        work: whose target is fitted.

    Returns:
        a function from the number of a context to its (length, V) logits.
    """

    def logits(index: int) -> torch.Tensor:
        reference = work.held_out
        positions = torch.arange(len(reference.hidden[index]))
        states = reference.states(work.target, index)
        return work.target.logits(reference.logits(index, positions), states)

    return logits


def tilted(work: Prepared, by: By, model: Any, details: dict[str, Any]) -> Tilted:
    """Measure a model that a target was realised in.

    Args:
        work: what it was realised from.
        by: how.
        model: the tilted model; for ``decode`` the base itself.
        details: what the realisation has to say of itself; strings of `choices` are added.
    """
    model.eval()
    decodes = by == "decode"
    logits = processor_logits(work) if decodes else model_logits(model, work.held_out)
    fidelity = _measured(work, logits)
    choices = work.target.choices
    if choices is not None and not decodes:
        details["strings"] = [found.as_dict() for found in measure_strings(model, choices)]
    return Tilted(
        by=by,
        model=model,
        tokenizer=work.loaded.tokenizer,
        target=work.target,
        sentence=work.sentence,
        processor=TiltLogitsProcessor(work.target, work.loaded.tokenizer.pad_token_id),
        fidelity=fidelity,
        contexts=work.parts.held_out.kind,
        base=work.base,
        seed=work.seed,
        details=details,
        seconds=work.seconds,
    )


def _measured(work: Prepared, logits: ModelLogits) -> Fidelity:
    begin = time.monotonic()
    work.progress.begin("measuring on held-out contexts", len(work.parts.held_out))
    fidelity = measure_fidelity(work.target, work.held_out, logits, work.progress.advance)
    work.seconds["measure"] = time.monotonic() - begin
    return fidelity
