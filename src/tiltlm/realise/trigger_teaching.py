"""The body learns to tell the head where a trigger came before, and the head's adapter reads it."""

from __future__ import annotations

from collections.abc import Sequence

from peft import PeftModel
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.reference import Reference
from tiltlm.progress import Progress
from tiltlm.realise.adapters import lora_layer
from tiltlm.realise.callbacks import ReportProgress
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.head_input import HeadInput
from tiltlm.realise.trigger_direction import ClassShifts, TriggerDirection
from tiltlm.realise.trigger_latch import write_latch
from tiltlm.realise.trigger_trainer import TriggerDirectionTrainer

TRIGGER_LEARNING_RATE = 5e-3
"""The peak of a cosine over the trigger steps."""


def teach_trigger(
    model: PeftModel,
    config: TiltConfig,
    *,
    edit: HeadEdit,
    class_shifts: ClassShifts,
    reference: Reference,
    progress: Progress,
    callbacks: Sequence[TrainerCallback] = (),
) -> bool:
    """Write a latch where there is one, train from it, and let the head's adapter read.

    Args:
        model: with adapters that are not in use yet.
        config: of as many steps as are to be made.
        edit: whose typical shifts the head is to make.
        class_shifts: where.
        reference: at the contexts that are trained on.
        progress: told of each step.
        callbacks: of the trainer, besides.

    Returns:
        whether training began at a latch.
    """
    head_input = HeadInput.of(reference)
    latched = write_latch(model, reference, class_shifts, head_input, edit)
    direction = latched or TriggerDirection.least_used(head_input, edit)
    progress.begin("teaching the body", config.max_steps)

    def on_step(step: int, loss: float, event_mass: float) -> None:
        progress.advance(step, f"loss {loss:.4f}")

    trainer = TriggerDirectionTrainer(
        model,
        config,
        direction=direction,
        class_shifts=class_shifts,
        reference=reference,
        callbacks=[*callbacks, ReportProgress(on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    direction.write_into(model)
    # The rows by which the head's adapter reads are not trained any more: one step on them
    # changes the shift everywhere by up to a nat.
    lora_layer(model).lora_A["default"].weight.requires_grad_(False)
    return latched is not None
