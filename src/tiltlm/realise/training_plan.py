"""How `train` goes about it: what a user says, and what follows from the target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from tiltlm.defaults import (
    AFTER_TRIGGER_LEARNING_RATE,
    BATCH,
    CHOICES_STEPS,
    CONTEXT_BATCH,
    HEAD_STEPS,
    LEARNING_RATES,
    STEPS,
    TRIGGER_STEPS,
)
from tiltlm.errors import ConfigError, TargetError
from tiltlm.losses.divergences import divergence_named
from tiltlm.realise.adapters import parameters_for
from tiltlm.realise.head_edit import check_editable
from tiltlm.recipes.training import PARAMETERS, Parameters, Training
from tiltlm.targets.bound import BoundTarget


def check_training(training: Training, target: BoundTarget) -> None:
    """Refuse values that do not exist, or that do not fit the target.

    Args:
        training: what a user said.
        target: that is to be trained towards.

    Raises:
        ConfigError: a value that does not exist, or an edit to start from without an adapter.
        TargetError: no edit of the head can express the target that is to start from one.
    """
    if training.parameters not in (None, *PARAMETERS):
        raise ConfigError(
            f"no such parameters: {training.parameters!r}", fix="one of " + ", ".join(PARAMETERS)
        )
    if training.start not in (None, "base", "edit"):
        raise ConfigError(f"no such start: {training.start!r}", fix="base or edit")
    for name in ("steps", "batch", "learning_rate", "trigger_steps", "every", "patience"):
        value = getattr(training, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value}; it must be above 0")
    divergence_named(training.divergence)
    if training.start == "edit":
        try:
            check_editable(target)
        except TargetError as error:
            raise TargetError(error.what, fix="start base, or leave it out") from None
        if (training.parameters or parameters_for(target)) == "full":
            raise ConfigError(
                "an edit to start from is written into an adapter, and full weights have none",
                fix="parameters head or body+head, or start base",
            )


def check_full_precision(model: PreTrainedModel) -> None:
    """Refuse to train weights of so few digits that steps would be rounded away.

    Args:
        model: all of whose weights are to be trained.

    Raises:
        ConfigError: they are bfloat16 or float16.
    """
    dtype = model.dtype
    if dtype in (torch.bfloat16, torch.float16):
        raise ConfigError(
            f"all weights are to be trained, and they are {str(dtype).removeprefix('torch.')}, "
            "in which steps as small as those of training are rounded away",
            where=type(model).__name__,
            fix="load the model with --dtype float32, or train parameters head or body+head, whose "
            "adapters are float32",
        )


@dataclass(frozen=True)
class TrainingPlan:
    """A `Training` with nothing left open.

    Attributes:
        parameters: ``head``, ``body+head`` or ``full``.
        steps: on the divergence, at most; after a trigger was taught none, unless the user asks.
        batch: contexts a step.
        learning_rate: the peak of a cosine.
        from_edit: whether the closed-form solution is the start.
        trigger_steps: steps before those on the divergence; 0 for none.
        solves: whether it is a convex problem in the head, where that has no cap, and nobody asked
            for steps of gradient descent.
    """

    parameters: Parameters
    steps: int
    batch: int
    learning_rate: float
    from_edit: bool
    trigger_steps: int
    solves: bool = False

    @classmethod
    def of(cls, training: Training, target: BoundTarget) -> TrainingPlan:
        """Decide what the user left open.

        Args:
            training: what the user said.
            target: bound and fitted.

        Raises:
            ConfigError, TargetError: as `check_training`.
        """
        check_training(training, target)
        parameters = training.parameters or parameters_for(target)
        starts_from_edit = training.start == "edit" or (
            training.start is None and target.shifts_vary
        )
        learns_trigger = starts_from_edit and parameters == "body+head"
        steps = CHOICES_STEPS if target.choices else STEPS
        if parameters == "head":
            steps = HEAD_STEPS
        elif learns_trigger:
            steps = 0
        rate = AFTER_TRIGGER_LEARNING_RATE if learns_trigger else LEARNING_RATES[parameters]
        descends = training.batch or training.learning_rate or training.start == "base"
        editable = target.needs_reference and target.classes() is not None
        return cls(
            parameters,
            training.steps or steps,
            training.batch or (CONTEXT_BATCH if target.depends_on_context else BATCH),
            training.learning_rate or rate,
            from_edit=starts_from_edit and parameters != "full",
            trigger_steps=(training.trigger_steps or TRIGGER_STEPS) if learns_trigger else 0,
            solves=parameters == "head" and editable and not descends,
        )
