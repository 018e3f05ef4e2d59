"""The label of the model that a run trained."""

from __future__ import annotations

from tiltlm.labels.chain import with_measured, with_step
from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelBase, LabelFigure
from tiltlm.realise.labelling import tilt_step
from tiltlm.recipes.run import Recipe
from tiltlm.records.base import PlacementRecord
from tiltlm.records.run import RunRecord
from tiltlm.targets.bound import BoundTarget
from tiltlm.versions import versions


def run_label(
    recipe: Recipe,
    seed: int,
    target: BoundTarget,
    sentence: str,
    base_sha256: str | None,
    placement: PlacementRecord,
) -> Label:
    """The label of a run's model before it was measured.

    Args:
        recipe: that was run.
        seed: of weights, contexts and draws.
        target: that the model was trained towards.
        sentence: the target in words.
        base_sha256: over the weights that training began with; None where the seed says them.
        placement: of the model.
    """
    part = recipe.model
    label = Label(
        target=target.text,
        sentence=sentence,
        events=[event.text for event in target.events],
        strengths=None,
        by="train",
        form="model",
        base=LabelBase(
            name=part.name,
            sha256=base_sha256,
            seed=seed,
            dtype=placement.dtype,
            config=part.config,
        ),
        contexts=f"random tokens, length {recipe.contexts.length}",
        seed=seed,
        measured=None,
        placement=placement,
        versions=versions(),
    )
    return with_step(label, tilt_step(label))


def measured_label(label: Label, record: RunRecord) -> Label:
    """The same label with what was measured.

    Args:
        label: from `run_label`.
        record: of the finished run.
    """
    measured = {
        f"hit rate {when}": LabelFigure(
            value=state.hit_rate,
            interval=state.interval,
            unit="of generated tokens",
            over=f"Wilson, over {state.tokens} tokens",
        )
        for when, state in (("before", record.before), ("after", record.after))
    }
    return with_measured(label, measured)
