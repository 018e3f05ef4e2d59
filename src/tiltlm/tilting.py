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

from tiltlm.contexts import TokenContexts
from tiltlm.errors import TargetError
from tiltlm.measures.fidelity import Fidelity, ModelLogits, measure_fidelity
from tiltlm.measures.strings import measure_strings
from tiltlm.models import LoadedModel, load, vocabulary_size
from tiltlm.preparing import Prepared, choices_inside, prepare
from tiltlm.realise.adapters import as_adapter
from tiltlm.realise.decode import TiltLogitsProcessor
from tiltlm.realise.edit import check_editable, solve_edit
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.reference import Reference
from tiltlm.targets import BoundTarget, Target, parse_target
from tiltlm.vocabulary import Vocabulary

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
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, vocabulary_size(loaded.model))
    bound = target.bind(vocabulary, loaded.tokenizer)
    if bound.needs_fit():
        bound = prepare(loaded, target, contexts, **options).target
    return TiltLogitsProcessor(bound, loaded.tokenizer.pad_token_id)


def edit(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    **options: Any,
) -> Tilted:
    """Realise a target by a closed-form change of the head, as a peft adapter.

    Args:
        model: a name, or what `load` returned; its weights are not changed.
        target: a target, or its text.
        contexts: see `prepare`.
        options: of `prepare`.

    Raises:
        TargetError: the target is out of an edit's reach; says what to use instead.
    """
    return edit_prepared(prepare(model, target, contexts, check=check_editable, **options))


def edit_prepared(work: Prepared) -> Tilted:
    """`edit`, from the solve on."""
    begin = time.monotonic()
    solved = solve_edit(work.target, work.fit)
    work.seconds["solve"] = time.monotonic() - begin
    adapted = as_adapter(work.loaded.model, solved)
    details = {"rank": len(solved.masks), "r_squared": solved.r_squared}
    try:
        done = measured(work, "edit", adapted, details)
        if done.fidelity.gap_closed < 0.5:
            raise TargetError(
                f"an edit of the head closes {done.fidelity.gap_closed:.2f} of the gap to "
                f"{work.target.text} (R² {solved.r_squared:.2f}): what it depends on cannot be "
                "read linearly from the hidden states, or not learnt from so few contexts "
                f"({len(work.parts.fit)})",
                fix="use train, or decode (exact)",
            )
    except BaseException:
        adapted.unload()
        raise
    return done


def decode_prepared(work: Prepared) -> Tilted:
    """Measure what decoding does: the processor is applied to the base's own logits."""
    processor = TiltLogitsProcessor(work.target, work.loaded.tokenizer.pad_token_id)

    def logits(index: int) -> torch.Tensor:
        reference = work.held_out
        places = torch.arange(len(reference.hidden[index]))
        states = reference.states(work.target, index)
        return work.target.logits(reference.logits(index, places), states)

    fidelity = _fidelity(work, logits)
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
    fidelity = _fidelity(work, model_logits(model, work.held_out))
    choosing = choices_inside(work.target)
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


def _fidelity(work: Prepared, logits: ModelLogits) -> Fidelity:
    begin = time.monotonic()
    work.watcher.begin("measuring on held-out contexts", len(work.parts.held_out))
    found = measure_fidelity(work.target, work.held_out, logits, work.watcher.advance)
    work.seconds["measure"] = time.monotonic() - begin
    return found
