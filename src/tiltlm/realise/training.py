"""`train` brings a model to a target by gradient descent, and measures it; never worse than before.

Which parameters, how many steps and where to begin follow from the target; a `Training` says
otherwise. The loop itself is `TiltTrainer`'s.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import LOOK_EVERY, PATIENCE, TRIGGER_STEPS
from tiltlm.errors import ConfigError
from tiltlm.losses.divergences import divergence_named
from tiltlm.measures.fidelity import measure_fidelity
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.realise.adapters import (
    PARAMETERS,
    Parameters,
    fill,
    lora_layer,
    parameters_for,
    point_at_every_context,
    with_lora,
)
from tiltlm.realise.callbacks import ReportProgress
from tiltlm.realise.column_space import share_in_column_space
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.early_stopping import KeepBest
from tiltlm.realise.head_edit import HeadEdit, check_editable, solve_edit
from tiltlm.realise.held_out import model_logits, tilted
from tiltlm.realise.prepare import Prepared, prepare
from tiltlm.realise.result import Tilted
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.realise.trigger_direction import TriggerDirection, TriggerDirectionTrainer, Wanted
from tiltlm.targets.target import BoundTarget, Target

WRITING_RATE = 3e-3


@dataclass(frozen=True)
class Training:
    """How `train` goes about it; what is None follows from the target.

    Attributes:
        parameters: ``head``, ``body+head`` (LoRA) or ``full``.
        steps: at most; 60 for the head alone and after writing, 600 for choices, else 150.
        batch: contexts a step; 4, and 8 where the target changes with the text.
        learning_rate: the peak of a cosine.
        start: ``base`` or ``edit``, the closed-form solution written into the head's adapter;
            ``edit`` where the shifts change with the context, as those of balance, mix and when do.
            With body and head the edit is kept unless training does better.
        writing_steps: with body and head and from an edit, steps before those in which the body
            learns where the edit's typical shift is wanted (`realise.writing`); 1,200.
        every: steps between looks at the gap closed.
        patience: looks without a new best after which to stop.
        divergence: as in `TiltConfig`.
    """

    parameters: Parameters | None = None
    steps: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    start: Literal["base", "edit"] | None = None
    writing_steps: int | None = None
    every: int = LOOK_EVERY
    patience: int = PATIENCE
    divergence: str = "forward_kl"


@dataclass(frozen=True)
class _Plan:
    parameters: Parameters
    steps: int
    batch: int
    learning_rate: float
    from_edit: bool
    writing_steps: int

    @classmethod
    def of(cls, training: Training, target: BoundTarget) -> _Plan:
        parameters = training.parameters or parameters_for(target)
        if parameters not in PARAMETERS:
            raise ConfigError(
                f"no such parameters: {parameters!r}", fix="one of " + ", ".join(PARAMETERS)
            )
        if training.start not in (None, "base", "edit"):
            raise ConfigError(f"no such start: {training.start!r}", fix="base or edit")
        for name in ("steps", "batch", "learning_rate", "writing_steps", "every", "patience"):
            value = getattr(training, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; it must be above 0")
        divergence_named(training.divergence)
        if training.start == "edit":
            check_editable(target)
            if parameters == "full":
                raise ConfigError(
                    "an edit to start from is written into an adapter, and full weights have none",
                    fix="parameters head or body+head, or start base",
                )
        wanted = training.start == "edit" or (training.start is None and target.shifts_vary)
        writes = wanted and parameters == "body+head"
        short = writes or parameters == "head"
        steps = 60 if short else 600 if target.choices else 150
        rates = {"head": 3e-3, "body+head": 1e-3, "full": 1e-4}
        return cls(
            parameters,
            training.steps or steps,
            training.batch or (8 if target.depends_on_context else 4),
            training.learning_rate or (5e-4 if writes else rates[parameters]),
            from_edit=wanted and parameters != "full",
            writing_steps=(training.writing_steps or TRIGGER_STEPS) if writes else 0,
        )


def train(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    *,
    training: Training | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tilted:
    """Realise a target by gradient descent on the divergence; never worse than the base.

    The weights with the largest gap closed on contexts that were not trained on are kept; where
    none closes any, the base itself is returned, and the details say so.

    Args:
        model: a name, or what `load` returned. With ``parameters="full"`` its weights change; else
            an adapter is put into it, which ``tilted.model.unload()`` takes out again.
        target: a target, or its text.
        contexts: see `prepare`.
        training: how; what it leaves open follows from the target.
        seed: of contexts, their split, and the order of training.
        progress: is told how far work has come.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    work = prepare(model, target, contexts, seed=seed, progress=progress)
    return train_prepared(work, training or Training())


def train_prepared(work: Prepared, training: Training) -> Tilted:
    """`train`, once the reference was read."""
    plan = _Plan.of(training, work.target)
    begin = time.monotonic()
    details: dict[str, Any] = {"parameters": plan.parameters, "learning_rate": plan.learning_rate}
    details |= _where_it_lies(work, plan.parameters)
    tune = Reference(work.loaded.model, work.parts.tune, head=work.fit.head)
    model = _trainable(work, plan, tune)
    try:
        best, trainer = _trained(work, training, plan, model, tune, details)
    except BaseException:
        if isinstance(model, PeftModel):
            model.unload()
        raise
    best.restore()
    work.seconds["train"] = time.monotonic() - begin
    details |= {
        "steps": trainer.state.global_step,
        "kept_step": best.best_step,
        "gap_by_step": best.history,
        "loss": [e["loss"] for e in trainer.state.log_history if "loss" in e],
    }
    return tilted(work, "train", model, details)


def _trained(
    work: Prepared,
    training: Training,
    plan: _Plan,
    model: Any,
    tune: Reference,
    details: dict[str, Any],
) -> tuple[KeepBest, TiltTrainer]:
    """Go through the steps; what was best is kept aside."""
    look = _Look(work, model, tune)
    solved = solve_edit(work.target, work.fit) if plan.from_edit else None
    untrained = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    start = _begin_at(solved, model, look, untrained, details) if solved else 0.0
    best = KeepBest(model, look, training.every, training.patience, look.note, start)
    if solved is not None and plan.writing_steps:
        # The edit is what has to be beaten. A body is not trained under it: what a step does to
        # hidden states where they hardly vary, the edit's directions make many nats of.
        model.load_state_dict(untrained, strict=False)
        _write(work, plan, model, solved)
        details["writing_steps"] = plan.writing_steps
        best.consider(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TiltTrainer(
            model,
            _config(plan, work, folder, divergence=training.divergence),
            work.target,
            work.parts.fit,
            reference=work.fit,
            callbacks=[best, ReportProgress(look.step)],
        )
        trainer.remove_callback(PrinterCallback)
        work.progress.begin("training", plan.steps)
        trainer.train()
    return best, trainer


def _write(work: Prepared, plan: _Plan, model: PeftModel, solved: HeadEdit) -> None:
    """Let the body learn to write the edit's typical shift, and the head to read it."""
    writing, wanted = TriggerDirection.of(work.fit, solved), Wanted.of(work.target, work.fit)
    steps = plan.writing_steps
    short = replace(plan, steps=steps, learning_rate=WRITING_RATE)
    work.progress.begin("teaching the body", steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TriggerDirectionTrainer(
            model,
            _config(short, work, folder, body_precision="auto"),
            writing=writing,
            wanted=wanted,
            reference=work.fit,
            callbacks=[ReportProgress(lambda n, x, _: work.progress.advance(n, f"loss {x:.4f}"))],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    writing.put(model, wanted.always)
    # What the head reads stays: one step on its rows moves the shift everywhere by up to a nat.
    lora_layer(model).lora_A["default"].weight.requires_grad_(False)


def _trainable(work: Prepared, plan: _Plan, tune: Reference) -> Any:
    """The model with what is to be trained; references keep the weights that they were of."""
    if plan.parameters == "full":
        head = work.fit.head.copied()
        for reference in (work.fit, work.held_out, tune):
            reference.head = head
        return work.loaded.model
    classes = work.target.classes() if plan.from_edit else None
    rank = 1 if classes is None else len(classes) + 1
    model = with_lora(work.loaded.model, plan.parameters, at_least=rank)
    if plan.parameters == "head":
        point_at_every_context(model, work.fit)
    return model.eval()


class _Look:
    """Measures the gap closed on the contexts to stop by, and tells the progress."""

    def __init__(self, work: Prepared, model: Any, tune: Reference) -> None:
        self._work, self._model, self._tune = work, model, tune
        self._logits = model_logits(model, tune)
        self._latest = float("nan")

    def __call__(self) -> tuple[float, float]:
        """The gap closed, and the lower end of its interval."""
        training = self._model.training
        self._model.eval()
        found = measure_fidelity(self._work.target, self._tune, self._logits)
        self._model.train(training)
        return found.gap_closed, found.interval[0] if found.interval else found.gap_closed

    def note(self, step: int, gap: float) -> None:
        """A gap was measured after a step."""
        self._latest = gap
        self._work.progress.advance(step, f"gap closed {gap:.3f}")

    def step(self, step: int, loss: float, _: float) -> None:
        """A step was made."""
        text = f"loss {loss:.4f}, gap closed {self._latest:.3f}"
        self._work.progress.advance(step, text)


def _begin_at(
    solved: HeadEdit,
    model: Any,
    look: _Look,
    untrained: dict[str, torch.Tensor],
    details: dict[str, Any],
) -> float:
    """Write the closed-form edit into the head's adapter; the gap it closes for certain, or 0."""
    fill(model, solved)
    found, low = look()
    details["edit_to_start_from"] = {"r_squared": solved.r_squared, "gap_closed": found}
    if low > 0:
        return found
    model.load_state_dict(untrained, strict=False)
    return 0.0


def _config(plan: _Plan, work: Prepared, folder: str, **options: Any) -> TiltConfig:
    return TiltConfig(
        output_dir=folder,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, plan.steps // 20),
        weight_decay=0.0,
        max_grad_norm=1.0,
        adam_beta2=0.95,
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch,
        train_sampling_strategy="sequential" if work.parts.fit.in_order else "random",
        save_strategy="no",
        seed=work.seed,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        **options,
    )


def _where_it_lies(work: Prepared, parameters: Parameters) -> dict[str, Any]:
    """Tell why these parameters: what of the target the body could reach, where that is known."""
    classes = work.target.classes()
    if classes is None:
        return {}
    shares = share_in_column_space(work.fit.head, classes)
    work.progress.note(
        f"training {parameters}: {', '.join(f'{s:.0%}' for s in shares)} of what tells the event "
        "from other tokens lies in the head's column space, which is all that the body can move"
    )
    return {"share_in_column_space": shares}
