"""What came of a realisation, measured on contexts that it was not fitted to."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from tiltlm.contexts.reference import Reference
from tiltlm.measures.fidelity import Fidelity, ModelLogits, measure_fidelity
from tiltlm.measures.string_distribution import measure_strings
from tiltlm.models.head import full_head
from tiltlm.models.structure import input_device
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.lower_blocks import LowerBlocks
from tiltlm.realise.merging import HALVES
from tiltlm.realise.preparation import Prepared
from tiltlm.realise.result import Tilted
from tiltlm.records.tilt import By
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.logits_processor import TiltLogitsProcessor


def model_logits(model: Any, reference: Reference) -> ModelLogits:
    """A model's logits at every position of a context of the reference's.

    A body that is still the reference's own is not run again, nor are lower blocks whose states the
    reference kept.

    Args:
        model: made from the reference's, adapters and all.
        reference: at the contexts that will be asked for.

    Returns:
        a function from the number of a context to its (length, V) logits.
    """
    frozen = FrozenBody.of(model, reference) or LowerBlocks.of(model, reference)

    def logits(index: int) -> torch.Tensor:
        ids = reference.contexts.sequences[index][None].to(input_device(model))
        replaying = frozen.replaying([index]) if frozen else nullcontext()
        with torch.no_grad(), replaying, full_head(model):
            output: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
        return output

    return logits


def processor_logits(prepared: Prepared) -> ModelLogits:
    """The logits of the reference's held-out contexts as decoding turns them into the target's.

    Args:
        prepared: whose target is fitted.

    Returns:
        a function from the number of a context to its (length, V) logits.
    """

    def logits(index: int) -> torch.Tensor:
        reference = prepared.held_out
        positions = torch.arange(len(reference.hidden[index]))
        states = reference.states(prepared.target, index)
        return prepared.target.logits(reference.logits(index, positions), states)

    return logits


def measure_realised(prepared: Prepared, by: By, model: Any, details: dict[str, Any]) -> Tilted:
    """Measure a model in which a target was realised, and put together what is known of it.

    Args:
        prepared: what the target was realised from.
        by: how it was realised.
        model: the tilted model, left in evaluation mode; for ``decode`` the base itself.
        details: what the realisation has to say of itself; strings of `choices` are added.

    Raises:
        MeasurementError: the model's logits are not finite, or the target equals the reference at
            the held-out contexts.
    """
    model.eval()
    decodes = by == "decode"
    logits = processor_logits(prepared) if decodes else model_logits(model, prepared.held_out)
    watch = Stopwatch()
    prepared.progress.begin("measuring on held-out contexts", len(prepared.parts.held_out))
    fidelity = measure_fidelity(
        prepared.target, prepared.held_out, logits, prepared.progress.advance
    )
    prepared.seconds["measure"] = watch.total

    def measure_again(merged: PreTrainedModel) -> Fidelity:
        held_out = prepared.held_out
        return measure_fidelity(prepared.target, held_out, model_logits(merged, held_out))

    half = model.dtype in HALVES  # only then does merging round a tilt
    choices = prepared.target.choices
    if choices is not None and not decodes:
        details["strings"] = [strings.as_dict() for strings in measure_strings(model, choices)]
    return Tilted(
        by=by,
        model=model,
        tokenizer=prepared.loaded.tokenizer,
        target=prepared.target,
        sentence=prepared.sentence,
        processor=TiltLogitsProcessor(prepared.target, prepared.loaded.tokenizer.pad_token_id),
        fidelity=fidelity,
        contexts=prepared.parts.held_out.kind,
        base=prepared.base,
        seed=prepared.seed,
        details=details,
        seconds=prepared.seconds,
        measure_again=measure_again if half else None,
        fit=prepared.fit if half else None,
        earlier=prepared.earlier,
    )
