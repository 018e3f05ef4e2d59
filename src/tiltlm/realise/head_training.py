"""`train` where only the head is trained and whole classes move: solved as a convex problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.realise.adapters import as_adapter, write_edit
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_edit import HeadEdit, edit_for
from tiltlm.realise.head_solver import Solved, solve_divergence
from tiltlm.realise.held_out import measure_realised
from tiltlm.realise.preparation import Prepared, tune_reference
from tiltlm.realise.result import Tilted
from tiltlm.realise.training_plan import TrainingPlan
from tiltlm.realise.tuning_gap import TuningGap
from tiltlm.recipes.training import Training
from tiltlm.stopwatch import Stopwatch


def can_be_solved(prepared: Prepared, plan: TrainingPlan) -> bool:
    """Whether a plan is a convex problem in the head of this model.

    Args:
        prepared: whose target is fitted.
        plan: of training.
    """
    return plan.solves and prepared.fit.head.cap is None


def train_head(
    prepared: Prepared,
    training: Training,
    plan: TrainingPlan,
    details: dict[str, Any],
    stop: Callable[[], bool] | None = None,
) -> Tilted:
    """Solve for the edit of the head with the least divergence, put it in, and measure.

    Args:
        prepared: whose target is fitted.
        training: what a user said.
        plan: the same with nothing left open.
        details: what is known of the target before.
        stop: asked after each step whether to end there.

    Returns:
        what was realised; the base itself where it closes nothing of the gap on contexts that were
        not fitted to.
    """
    watch = Stopwatch()
    classes = prepared.target.classes()
    assert classes is not None
    tune = tune_reference(prepared)
    fitted = ClassTargets.of(prepared.target, prepared.fit, classes)
    edit = edit_for(fitted, classes, prepared.fit)
    solved = _solve(prepared, training, plan, edit, fitted, tune, stop or (lambda: False))
    adapted = as_adapter(prepared.loaded.model, solved.edit)
    try:
        details = details | _details(plan, edit, solved)
        gap = TuningGap(prepared, adapted, tune)
        if not gap() > 0:
            nothing = torch.zeros_like(solved.edit.directions)
            write_edit(adapted, HeadEdit(edit.head, edit.masks, nothing, 0.0, edit.typical_shifts))
            details["kept"] = gap.tell_that_base_is_kept()
        prepared.seconds["train"] = watch.total
        return measure_realised(prepared, "train", adapted, details)
    except BaseException:
        adapted.unload()
        raise


def _solve(
    prepared: Prepared,
    training: Training,
    plan: TrainingPlan,
    edit: HeadEdit,
    fitted: ClassTargets,
    tune: Reference,
    stop: Callable[[], bool],
) -> Solved:
    """Go on from the edit, and tell of each step."""
    prepared.progress.begin("training", plan.steps)

    def on_step(step: int, objective: float, gap: float) -> None:
        text = f"loss {objective:.4f}, gap closed {gap:.3f}"
        prepared.progress.advance(step, text)
        if stop():
            raise StopIteration

    return solve_divergence(
        edit,
        fitted,
        ClassTargets.of(prepared.target, tune, edit.masks),
        scale=prepared.fit.head.scale,
        divergence=training.divergence,
        steps=plan.steps,
        patience=training.every * training.patience,
        on_step=on_step,
    )


def _details(plan: TrainingPlan, edit: HeadEdit, solved: Solved) -> dict[str, Any]:
    """What training has to say of itself."""
    return {
        "parameters": plan.parameters,
        "solver": "L-BFGS on masses of classes, from the edit",
        "rank": len(edit.masks),
        "edit_to_start_from": {"r_squared": edit.r_squared, "gap_closed": solved.history[0][1]},
        "steps": len(solved.history) - 1,
        "kept_step": solved.step,
        "gap_by_step": solved.history,
        "loss": solved.objective,
    }
