"""Undo by training: KL back to the reference, at what both models write of themselves."""

from __future__ import annotations

import tempfile
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.reference import Reference
from tiltlm.models.adapted import plain_copy
from tiltlm.models.seeding import seeded
from tiltlm.models.trainer_device import keep_in_place
from tiltlm.realise.adapters import start_from_constant_direction, with_lora
from tiltlm.realise.callbacks import ReportProgress
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.early_stopping import EarlyStopping
from tiltlm.realise.merging import merge_adapter
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.recipes.training import Parameters, Training
from tiltlm.undoing.by_edit import undo_by_edit
from tiltlm.undoing.case import Case
from tiltlm.undoing.readers import ModelReader
from tiltlm.undoing.tilts import SameAsReference
from tiltlm.undoing.undone import Undone, with_model

STEPS = 150
"""Of training, where nobody says how many."""

BATCH = 4
"""Contexts a step, where nobody says how many."""

RATES: dict[Parameters, float] = {"head": 3e-3, "body+head": 1e-3, "full": 1e-4}
"""The peak of the cosine, by what is trained."""


def parameters_by(case: Case) -> Parameters:
    """What to train: the head where an audit saw all findings outside its column space.

    What lies inside may have been made by the body. Where no audit says, all weights are trained.

    Args:
        case: opened.
    """
    if not case.wanted.seen:
        return "full"
    return "head" if set(case.wanted.seen) == {"outside"} else "body+head"


def undo_by_train(case: Case, training: Training | None = None) -> Undone:
    """Train a copy of the model towards the reference; never farther from it than the edit.

    Training begins at the opposite edit, unless ``training.start`` is ``base``.

    The weights that are nearest to the reference at contexts apart from those trained on are kept.

    Args:
        case: opened, with a reference.
        training: how; what it leaves open follows from the findings.

    Raises:
        DivergedError: the loss stopped being finite.
    """
    training = training or Training()
    parameters = training.parameters or parameters_by(case)
    steps = training.steps or STEPS
    before = _KlFromReference(case)
    start = case.model.model
    if training.start != "base":
        start = undo_by_edit(case, whole=True).model.model
    model = _trainable(case, start, parameters)
    gap = _Gap(before, before(case.model.model), model)
    stopping = EarlyStopping(
        model,
        gap,
        start=gap(),
        every=training.every,
        patience=training.patience,
        on_measured=lambda step, share: case.progress.advance(step, f"gap closed {share:.3f}"),
    )
    events = [event.bind(case.model.vocabulary) for event in case.wanted.events]
    case.progress.begin("training", steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TiltTrainer(
            model,
            _config(case, training, parameters, folder),
            SameAsReference(events, case.model.vocabulary),
            case.parts.fit,
            reference=case.reference_fit,
            callbacks=[stopping, ReportProgress(lambda *_: None)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    stopping.restore()
    details: dict[str, Any] = {
        "parameters": parameters,
        "steps": trainer.state.global_step,
        "kept_step": stopping.best_step,
        "gap_by_step": stopping.history,
    }
    whole = merge_adapter(model, case.fit) if isinstance(model, PeftModel) else model
    sentence = f"its {parameters} was trained back to the reference's distribution"
    return Undone("train", with_model(case.model, whole), sentence, details=details)


def _trainable(case: Case, start: PreTrainedModel, parameters: Parameters) -> Any:
    """A copy of a model with what is to be trained."""
    copied = plain_copy(start)
    if parameters == "full":
        return copied.requires_grad_(True)
    with seeded(case.seed, copied.device):
        model = with_lora(copied, parameters)
    if parameters == "head":
        start_from_constant_direction(model, case.fit)
    return model.eval()


class _KlFromReference:
    """KL of a model from the reference at the contexts to stop by, mean over positions, nats.

    Args:
        case: opened, with a reference.
    """

    def __init__(self, case: Case) -> None:
        assert case.reference is not None
        self._contexts, head = case.parts.tune, case.reference_fit.head
        self._reference = ModelReader(Reference(case.reference.model, self._contexts, head=head))

    def __call__(self, model: Any) -> float:
        return ModelReader(Reference(model, self._contexts)).kl_from(self._reference)


class _Gap:
    """The share of a divergence that a model in training has closed.

    Args:
        kl: measures a model.
        before: what it gave for the tilted model.
        model: that is trained.
    """

    def __init__(self, kl: _KlFromReference, before: float, model: Any) -> None:
        self._kl, self._before, self._model = kl, before, model

    def __call__(self) -> float:
        """Measure the model as it is."""
        return 1 - self._kl(self._model) / max(self._before, 1e-12)


def _config(case: Case, training: Training, parameters: Parameters, folder: str) -> TiltConfig:
    """The trainer's arguments; it writes no checkpoints."""
    steps = training.steps or STEPS
    config = TiltConfig(
        output_dir=folder,
        learning_rate=training.learning_rate or RATES[parameters],
        lr_scheduler_type="cosine",
        warmup_steps=max(1, steps // 20),
        weight_decay=0.0,
        max_grad_norm=1.0,
        adam_beta2=0.95,
        max_steps=steps,
        per_device_train_batch_size=training.batch or BATCH,
        train_sampling_strategy="random",
        save_strategy="no",
        seed=case.seed,
        disable_tqdm=True,
        divergence=training.divergence,
        dataloader_pin_memory=case.model.model.device.type == "cuda",
    )
    keep_in_place(config, case.model.model)
    return config
