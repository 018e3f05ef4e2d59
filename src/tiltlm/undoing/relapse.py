"""How fast a tilt returns when a model is trained towards it again, beside a base without a past.

Removed is what does not come back faster than it would come to a model that never had it. Both are
trained in all weights, alike, by the divergence from the tilted distribution and on text that was
drawn from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from transformers import PreTrainedModel
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.under_tilt import texts_under
from tiltlm.models.adapted import plain_copy
from tiltlm.models.loading import LoadedModel
from tiltlm.models.trainer_device import keep_in_place
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.records.base import Estimate
from tiltlm.records.undo import RelapseKind, RelapsePoint
from tiltlm.targets.bound import BoundTarget
from tiltlm.treatments.fine_tuning import BATCH, LEARNING_RATE, AtSteps, fine_tune
from tiltlm.undoing.case import Case
from tiltlm.undoing.readers import ModelReader
from tiltlm.undoing.strengths import estimate_strengths

Look = Callable[[int], None]
"""Told the step after which the model is to be looked at."""

Who = Literal["undone", "never tilted"]
"""Which of the two models is trained."""

MILESTONES = (5, 15, 50)
"""Steps of training after which the tilt is looked at."""


@dataclass(frozen=True)
class Relapse:
    """How models are trained towards the tilt again.

    Attributes:
        milestones: steps after which the tilt is looked at; the last is where training ends.
        learning_rate: of AdamW, the same at every step.
    """

    milestones: tuple[int, ...] = MILESTONES
    learning_rate: float = LEARNING_RATE


def measure_relapse(
    case: Case, undone: LoadedModel, tilt: BoundTarget, relapse: Relapse
) -> list[RelapsePoint]:
    """Train the undone model and the reference towards the tilt, by either way.

    Args:
        case: opened, with a reference.
        undone: the model whose tilt was taken back.
        tilt: what the model had been tilted by, over the reference.
        relapse: how.
    """
    assert case.reference is not None
    like = case.parts.fit
    length = max(len(ids) for ids in like.sequences)
    written = texts_under(case.reference, tilt, len(like), length, case.seed + 1)
    models: dict[Who, LoadedModel] = {"undone": undone, "never tilted": case.reference}
    kinds: tuple[RelapseKind, ...] = ("kl", "data")
    case.progress.begin("training towards the tilt again", len(models) * len(kinds))
    points = list[RelapsePoint]()
    for who, loaded in models.items():
        for by in kinds:
            curve = _Curve(case, who, by, plain_copy(loaded.model).requires_grad_(True))
            curve.look(0)
            if by == "kl":
                _train_on_divergence(case, curve.model, tilt, relapse, curve.look)
            else:
                rate = relapse.learning_rate
                fine_tune(
                    curve.model, written, relapse.milestones, case.seed, curve.look,
                    learning_rate=rate,
                )  # fmt: skip
            points += curve.points
            case.progress.advance(len(points) // (1 + len(relapse.milestones)))
    return points


@dataclass
class _Curve:
    """One model on its way to the tilt, and where it was at each milestone."""

    case: Case
    who: Who
    by: RelapseKind
    model: PreTrainedModel
    points: list[RelapsePoint] = field(default_factory=list)

    def look(self, step: int) -> None:
        """Measure the model as it is after a step."""
        strengths = _strengths(self.case, self.model.eval())
        self.points.append(RelapsePoint(by=self.by, model=self.who, step=step, strengths=strengths))


def _strengths(case: Case, model: PreTrainedModel) -> list[Estimate]:
    """How strongly a model is tilted against the reference, on held-out contexts."""
    before = ModelReader(case.reference_held_out).class_masses(case.classes)
    after = ModelReader(Reference(model, case.parts.held_out)).class_masses(case.classes)
    return estimate_strengths(before, after, case.classes).estimates()


def _train_on_divergence(
    case: Case, model: PreTrainedModel, tilt: BoundTarget, relapse: Relapse, look: Look
) -> None:
    """Train all weights towards the tilt of the reference, at the fitting contexts."""
    with tempfile.TemporaryDirectory() as folder:
        config = TiltConfig(
            output_dir=folder,
            learning_rate=relapse.learning_rate,
            weight_decay=0.0,
            max_steps=max(relapse.milestones),
            per_device_train_batch_size=BATCH,
            train_sampling_strategy="random",
            save_strategy="no",
            seed=case.seed,
            disable_tqdm=True,
            dataloader_pin_memory=model.device.type == "cuda",
        )
        keep_in_place(config, model)
        trainer = TiltTrainer(
            model,
            config,
            tilt,
            case.parts.fit,
            reference=case.reference_fit,
            callbacks=[AtSteps(relapse.milestones, look)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()
