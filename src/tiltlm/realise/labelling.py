"""The steps that realising and merging a target add to the chain of a model's label."""

from __future__ import annotations

from tiltlm.labels.label import Label
from tiltlm.labels.step import Step
from tiltlm.versions import versions


def tilt_step(label: Label) -> Step:
    """The step of a tilt whose label says all else already.

    Args:
        label: of the tilted model, the step not yet in its chain.
    """
    return Step(
        operation="tilt",
        sentence=label.sentence,
        target=label.target,
        by=label.by,
        base=label.base,
        data=label.contexts,
        seed=label.seed,
        measured=label.measured,
        detect=f"tiltlm audit MODEL --reference {label.base.name} --null PACK"
        + (" --decodes" if label.form == "processor" else ""),
        undo=None if label.form == "processor" else "tiltlm undo MODEL --by label --out DIR",
        versions=label.versions,
    )


def merge_step(label: Label) -> Step:
    """The step of merging an adapter into the weights of its base.

    Args:
        label: of the model after it was merged.
    """
    return Step(
        operation="merge",
        sentence="the adapter was merged into the weights, the head untied from the embedding",
        base=label.base,
        measured=label.measured,
        detect=f"tiltlm audit MODEL --reference {label.base.name} --null PACK",
        undo="tiltlm undo MODEL --by label --out DIR",
        versions=versions(),
    )
