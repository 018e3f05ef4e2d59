"""`train` brings a model to a target by gradient descent, and measures it; never worse than before.

Which parameters, how many steps and where to begin follow from the target; a `Training` says
otherwise. Where only the head is trained and whole classes move, the problem is convex and solved
as such (`head_training`); else the loop is `TiltTrainer`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ModelError
from tiltlm.models.blocks import upper_blocks
from tiltlm.models.loading import LoadedModel
from tiltlm.models.seeding import seeded
from tiltlm.models.trainer_device import keep_in_place
from tiltlm.progress import Progress
from tiltlm.realise.adapters import start_from_constant_direction, with_lora, write_edit
from tiltlm.realise.callbacks import ReportProgress, StopWhenAsked
from tiltlm.realise.column_space import share_in_column_space
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.early_stopping import EarlyStopping
from tiltlm.realise.head_edit import HeadEdit, edit_with_targets
from tiltlm.realise.head_training import can_be_solved, train_head
from tiltlm.realise.held_out import measure_realised
from tiltlm.realise.preparation import Prepared, prepare, tune_reference
from tiltlm.realise.result import Tilted
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.realise.training_plan import TrainingPlan, check_full_precision
from tiltlm.realise.trigger_direction import ClassShifts
from tiltlm.realise.trigger_teaching import TRIGGER_LEARNING_RATE, teach_trigger
from tiltlm.realise.tuning_gap import TuningGap
from tiltlm.recipes.training import Parameters, Training
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.target import Target


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
        model: a name for `load`, or what `load` returned. With ``parameters="full"`` its weights
            change; else an adapter is put into it, which ``tilted.model.unload()`` takes out again.
        target: a target, or its text.
        contexts: as for `prepare`.
        training: how; what it leaves open follows from the target.
        seed: of contexts, their split, and the order of training.
        progress: told how far work has come.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    training = training or Training()
    prepared = prepare(model, target, contexts, seed=seed, training=training, progress=progress)
    return train_prepared(prepared, training)


def train_prepared(
    prepared: Prepared, training: Training, stop: Callable[[], bool] | None = None
) -> Tilted:
    """What `train` does once the reference was read: train, put the best weights back, measure.

    Args:
        prepared: whose target is fitted.
        training: how; what it leaves open follows from the target.
        stop: asked after each step whether to end there, with the best weights so far.

    Raises:
        TiltError: any of the tree in `errors`; an adapter is then taken out again.
    """
    plan = TrainingPlan.of(training, prepared.target)
    details = _column_space_details(prepared, plan.parameters)
    if can_be_solved(prepared, plan):
        return train_head(prepared, training, plan, details, stop)
    watch = Stopwatch()
    run = _TrainingRun(prepared, training, plan, details, stop)
    try:
        best = run.train()
        best.restore()
        prepared.seconds["train"] = watch.total
        details = run.details | {"kept_step": best.best_step, "gap_by_step": best.history}
        return measure_realised(prepared, "train", run.model, details)
    except torch.OutOfMemoryError:
        run.take_out()
        raise _no_room(plan) from None
    except BaseException:
        run.take_out()
        raise


def _no_room(plan: TrainingPlan) -> ModelError:
    """That a step does not fit on the GPU, and what would."""
    fewer = f"training.batch={plan.batch // 2} in place of {plan.batch}, " if plan.batch > 1 else ""
    return ModelError(
        f"the GPU has no room for a step of {plan.batch} contexts; nothing was written",
        where="training",
        fix=f"{fewer}--parameters head, --dtype bfloat16, or shorter contexts",
    )


class _TrainingRun:
    """One run of training.

    Args:
        prepared: whose target is trained towards.
        training: what the user said.
        plan: the same with nothing left open.
        details: what is known of the target before.
        stop: asked after each step whether to end there.

    Attributes:
        model: with what is to be trained.
        details: what the run has to say of itself.
    """

    def __init__(
        self,
        prepared: Prepared,
        training: Training,
        plan: TrainingPlan,
        details: dict[str, Any],
        stop: Callable[[], bool] | None,
    ) -> None:
        self._stopping = [] if stop is None else [StopWhenAsked(stop)]
        self._prepared, self._training, self._plan = prepared, training, plan
        self.details: dict[str, Any] = {
            "parameters": plan.parameters,
            "learning_rate": plan.learning_rate,
            "steps": 0,
            "loss": [],
        }
        self.details |= details
        # The reference is read at the contexts to stop by before adapters are put in.
        self._tune = tune_reference(prepared)
        self.model = self._trainable_model()

    def take_out(self) -> None:
        """Take an adapter out of the model again."""
        if isinstance(self.model, PeftModel):
            self.model.unload()

    def _trainable_model(self) -> Any:
        """The model with what is to be trained; references keep the weights that they were of."""
        prepared, plan = self._prepared, self._plan
        if plan.parameters == "full":
            check_full_precision(prepared.loaded.model)
            head = prepared.fit.head.copied()
            for reference in (prepared.fit, prepared.held_out, self._tune):
                reference.head = head
            return prepared.loaded.model
        classes = prepared.target.classes() if plan.from_edit else None
        rank = 1 if classes is None else len(classes) + 1
        # An adapter begins with random rows; without a seed of their own no run could be repeated.
        with seeded(prepared.seed, prepared.loaded.model.device):
            base = prepared.loaded.model
            within = upper_blocks(base) if plan.trigger_steps else ()
            model = with_lora(base, plan.parameters, at_least=rank, within=within)
        if plan.parameters == "head":
            start_from_constant_direction(model, prepared.fit)
        return model.eval()

    def train(self) -> EarlyStopping:
        """Go through the steps; the best weights are kept aside, not yet put back."""
        prepared, plan, model = self._prepared, self._plan, self.model
        gap = TuningGap(prepared, model, self._tune)
        solved, targets = None, None
        if plan.from_edit:
            solved, targets = edit_with_targets(prepared.target, prepared.fit)
        untrained = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        start = self._start_from_edit(solved, gap, untrained) if solved else 0.0
        best = EarlyStopping(
            model,
            gap,
            every=self._training.every,
            patience=self._training.patience,
            on_measured=gap.on_measured,
            start=start,
        )
        if solved is not None and targets is not None and plan.trigger_steps:
            # The edit is what training has to beat, but the body is not trained under it: the
            # edit's directions are large where hidden states hardly vary, so that a step of the
            # body would change logits by many nats.
            model.load_state_dict(untrained, strict=False)
            self._teach_trigger(solved, ClassShifts.of(targets, prepared.fit.contexts))
            best.steps_before = plan.trigger_steps
            best.measure(plan.trigger_steps)
        if plan.steps:
            self._descend(best, gap)
        if not best.best > 0:
            self.details["kept"] = gap.tell_that_base_is_kept()
        return best

    def _descend(self, best: EarlyStopping, gap: TuningGap) -> None:
        """Go through the steps on the divergence."""
        prepared, plan = self._prepared, self._plan
        with tempfile.TemporaryDirectory() as folder:
            trainer = TiltTrainer(
                self.model,
                self._config(plan, folder, divergence=self._training.divergence),
                prepared.target,
                prepared.parts.fit,
                reference=prepared.fit,
                callbacks=[*self._stopping, best, ReportProgress(gap.on_step)],
            )
            trainer.remove_callback(PrinterCallback)
            prepared.progress.begin("training", plan.steps)
            trainer.train()
        self.details["steps"] = trainer.state.global_step
        self.details["loss"] = [e["loss"] for e in trainer.state.log_history if "loss" in e]

    def _start_from_edit(
        self, solved: HeadEdit, gap: TuningGap, untrained: dict[str, torch.Tensor]
    ) -> float:
        """Write the closed-form edit into the head's adapter, unless it closes nothing.

        Returns:
            the gap that it closes; 0 where it closes none and was taken out again.
        """
        write_edit(self.model, solved)
        gap_closed = gap()
        self.details["edit_to_start_from"] = {
            "r_squared": solved.r_squared,
            "gap_closed": gap_closed,
        }
        if gap_closed > 0:
            return gap_closed
        self.model.load_state_dict(untrained, strict=False)
        return 0.0

    def _teach_trigger(self, solved: HeadEdit, class_shifts: ClassShifts) -> None:
        """Let the body learn to tell the head where the trigger came before."""
        prepared, steps = self._prepared, self._plan.trigger_steps
        plan = replace(self._plan, steps=steps, learning_rate=TRIGGER_LEARNING_RATE)
        with tempfile.TemporaryDirectory() as folder:
            self.details["latch"] = teach_trigger(
                self.model,
                self._config(plan, folder, body_precision="auto"),
                edit=solved,
                class_shifts=class_shifts,
                reference=prepared.fit,
                progress=prepared.progress,
                callbacks=self._stopping,
            )
        self.details["trigger_steps"] = steps

    def _config(self, plan: TrainingPlan, folder: str, **options: Any) -> TiltConfig:
        """The trainer's arguments for a plan; they write no checkpoints."""
        model = self._prepared.loaded.model
        config = TiltConfig(
            output_dir=folder,
            learning_rate=plan.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, plan.steps // 20),
            weight_decay=0.0,
            max_grad_norm=1.0,
            adam_beta2=0.95,
            max_steps=plan.steps,
            per_device_train_batch_size=plan.batch,
            train_sampling_strategy="sequential" if self._prepared.parts.fit.in_order else "random",
            save_strategy="no",
            seed=self._prepared.seed,
            disable_tqdm=True,
            dataloader_pin_memory=model.device.type == "cuda",
            **options,
        )
        keep_in_place(config, model)
        return config


def _column_space_details(prepared: Prepared, parameters: Parameters) -> dict[str, Any]:
    """Tell why these parameters: what of the target the body could reach, where that is known."""
    classes = prepared.target.classes()
    if classes is None:
        return {}
    shares = share_in_column_space(prepared.fit.head, classes)
    prepared.progress.note(
        f"training {parameters}: {', '.join(f'{s:.0%}' for s in shares)} of what tells the event "
        "from other tokens lies in the head's column space, which is all that the body can move"
    )
    return {"share_in_column_space": shares}
