"""The three calls: `decode`, `edit` and `train` bring a model to a target, and measure it.

Each binds the target, splits the contexts into a part to fit on and a held-out part, realises, and
takes every figure from the held-out part.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback

from tiltlm.compositions import BoundWhen
from tiltlm.contexts import TokenContexts
from tiltlm.errors import ConfigError, TargetError
from tiltlm.measures.fidelity import Fidelity, ModelLogits, measure_fidelity
from tiltlm.measures.strings import measure_strings
from tiltlm.models import LoadedModel, load, vocabulary_size
from tiltlm.preparing import Prepared, choices_inside, prepare
from tiltlm.realise.adapters import (
    PARAMETERS,
    Parameters,
    as_adapter,
    fill,
    parameters_for,
    point_at_every_context,
    point_where_nothing_is,
    with_lora,
)
from tiltlm.realise.callbacks import ReportProgress
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.decode import TiltLogitsProcessor
from tiltlm.realise.edit import check_editable, solve_edit
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.stopping import KeepBest
from tiltlm.realise.train import TiltTrainer
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
    done = _measured(work, "edit", adapted, details)
    if done.fidelity.gap_closed < 0.5:
        adapted.unload()
        raise TargetError(
            f"an edit of the head closes {done.fidelity.gap_closed:.2f} of the gap to "
            f"{work.target.text} (R² {solved.r_squared:.2f}): what it depends on cannot be read "
            "linearly from the hidden states",
            fix="use train, or decode (exact)",
        )
    return done


@dataclass(frozen=True)
class Training:
    """How `train` goes about it; what is None follows from the target.

    Attributes:
        parameters: ``head``, ``body+head`` (LoRA) or ``full``.
        steps: at most; 60 for the head alone, 240 for choices, else 150.
        batch: contexts a step; 4, and 8 where the target changes with the text.
        learning_rate: the peak of a cosine.
        start: ``base`` or ``edit``, the closed-form solution written into the head's adapter.
        every: steps between looks at the gap closed.
        patience: looks without a new best after which to stop.
        divergence: as in `TiltConfig`.
    """

    parameters: Parameters | None = None
    steps: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    start: Literal["base", "edit"] | None = None
    every: int = 15
    patience: int = 4
    divergence: str = "forward_kl"


def train(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    training: Training | None = None,
    **options: Any,
) -> Tilted:
    """Realise a target by gradient descent on the divergence; never worse than the base.

    The weights with the largest gap closed on contexts that were not trained on are kept; where
    none closes any, the base itself is returned, and the details say so.

    Args:
        model: a name, or what `load` returned; its weights change with ``parameters="full"``.
        target: a target, or its text.
        contexts: see `prepare`.
        training: how.
        options: of `prepare`.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    return train_prepared(prepare(model, target, contexts, **options), training or Training())


def train_prepared(work: Prepared, training: Training) -> Tilted:
    """`train`, once the reference was read."""
    parameters = training.parameters or parameters_for(work.target)
    if parameters not in PARAMETERS:
        raise ConfigError(
            f"no such parameters: {parameters!r}", fix="one of " + ", ".join(PARAMETERS)
        )
    steps = training.steps or (
        60 if parameters == "head" else 240 if choices_inside(work.target) else 150
    )
    batch = training.batch or (8 if work.target.depends_on_context else 4)
    rate = training.learning_rate or {"head": 3e-3, "body+head": 1e-3, "full": 1e-4}[parameters]
    begin = time.monotonic()
    tune = Reference(work.loaded.model, work.parts.tune, head=work.fit.head)
    model: Any = work.loaded.model
    details: dict[str, Any] = {"parameters": parameters, "learning_rate": rate}
    if parameters == "full":
        for reference in (work.fit, tune, work.held_out):
            reference.head = work.fit.head.copied() if reference is work.fit else work.fit.head
    else:
        model = with_lora(work.loaded.model, parameters)
        if parameters == "head":
            point_at_every_context(model, work.fit)

    body = FrozenBody.of(model, tune)

    def tune_logits(index: int) -> torch.Tensor:
        with body.answering([index]) if body else nullcontext():
            return model_logits(model, tune)(index)

    def gap() -> tuple[float, float]:
        found = measure_fidelity(work.target, tune, tune_logits)
        low = found.interval[0] if found.interval else found.gap_closed
        return found.gap_closed, low

    latest = {"gap": float("nan")}

    def note(step: int, found: float) -> None:
        latest["gap"] = found
        work.watcher.advance(step, f"gap closed {found:.3f}")

    model.eval()
    start, solved = 0.0, None
    if parameters != "full" and _starts_from_edit(work.target, training):
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        solved = solve_edit(work.target, work.fit)
        fill(model, solved)
        found, low = gap()
        details["edit_to_start_from"] = {"r_squared": solved.r_squared, "gap_closed": found}
        if low > 0:
            start = found
        else:
            model.load_state_dict(before, strict=False)
    best = KeepBest(model, gap, training.every, training.patience, note, start)
    if solved is not None and parameters == "body+head":
        point_where_nothing_is(model, work.fit, solved)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TiltTrainer(
            model,
            TiltConfig(
                output_dir=folder,
                divergence=training.divergence,
                learning_rate=rate,
                lr_scheduler_type="cosine",
                warmup_steps=max(1, steps // 20),
                weight_decay=0.0,
                max_grad_norm=1.0,
                adam_beta2=0.95,
                max_steps=steps,
                per_device_train_batch_size=batch,
                train_sampling_strategy="random",
                save_strategy="no",
                seed=work.seed,
                disable_tqdm=True,
                dataloader_pin_memory=torch.cuda.is_available(),
            ),
            work.target,
            work.parts.fit,
            reference=work.fit,
            callbacks=[
                best,
                ReportProgress(
                    lambda step, loss, _: work.watcher.advance(
                        step, f"loss {loss:.4f}, gap closed {latest['gap']:.3f}"
                    )
                ),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        work.watcher.begin("training", steps)
        trainer.train()
    best.restore()
    model.eval()
    work.seconds["train"] = time.monotonic() - begin
    details |= {
        "steps": trainer.state.global_step,
        "kept_step": best.best_step,
        "gap_by_step": best.history,
        "loss": [e["loss"] for e in trainer.state.log_history if "loss" in e],
    }
    return _measured(work, "train", model, details)


def _starts_from_edit(target: BoundTarget, training: Training) -> bool:
    if training.start == "edit":
        check_editable(target)
        return True
    return training.start is None and isinstance(target, BoundWhen) and target.classes() is not None


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
    """A model's logits at every position of a context of the reference's."""

    def logits(index: int) -> torch.Tensor:
        ids = reference.contexts.sequences[index][None].to(model.device)
        with torch.no_grad():
            found: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
        return found

    return logits


def _measured(work: Prepared, by: By, model: Any, details: dict[str, Any]) -> Tilted:
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
