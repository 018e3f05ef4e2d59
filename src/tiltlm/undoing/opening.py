"""Open what is to be undone: the tilted model, its reference, what to take back, and contexts."""

from __future__ import annotations

from pathlib import Path

from tiltlm.errors import ConfigError, ModelError
from tiltlm.labels.label import Label
from tiltlm.models.loading import LoadedModel, load, load_base
from tiltlm.models.places import locate
from tiltlm.progress import Progress
from tiltlm.realise.preparation import label_base
from tiltlm.recipes.placement import Placement
from tiltlm.records.audit import AuditRecord
from tiltlm.records.undo import UndoBy
from tiltlm.undoing.case import Case, contexts_of_both
from tiltlm.undoing.wanted import (
    Wanted,
    read_audit,
    wanted_of_audit,
    wanted_of_label,
    wanted_of_target,
)


def open_tilted_model(
    model: LoadedModel | str | Path, placement: Placement | None
) -> tuple[LoadedModel, Label | None]:
    """The tilted model and its label.

    Args:
        model: a name for `load`, a folder of ``tiltlm tilt``, or a loaded model.
        placement: of what is given by name.

    Raises:
        ModelError: there are no weights in the folder.
    """
    if isinstance(model, LoadedModel):
        return model, locate(model.name)[1] if model.name else None
    folder, label, decodes = locate(str(model))
    if decodes:
        raise ModelError(
            "there are no weights in the folder: the model is its base, tilted while decoding",
            where=str(model),
            fix="leave the logits processor out, and nothing of the tilt is left",
        )
    return load(folder, placement=placement), label


def open_reference(
    reference: LoadedModel | str | Path | None,
    label: Label | None,
    by: UndoBy,
    placement: Placement | None,
) -> LoadedModel | None:
    """What the model should be like; None where nobody says.

    Args:
        reference: as a user gave it.
        label: of the tilted model.
        by: the way of undoing.
        placement: of what is given by name.

    Raises:
        ConfigError: the way needs a label or a reference, and there is none.
    """
    if by == "label":
        if label is None:
            raise ConfigError(
                "the model has no label, so nobody knows which weights to put back",
                where="--by label",
                fix="use --by edit, train or interpolate with --reference BASE",
            )
        return load_base(label.base, placement)
    if isinstance(reference, LoadedModel):
        return reference
    if reference is not None:
        return load(reference, placement=placement)
    if label is not None:
        return load_base(label.base, placement)
    if by in ("train", "interpolate"):
        raise ConfigError(
            f"by {by} needs a model to go back to", where="--reference", fix="give --reference BASE"
        )
    return None


def wanted_of(
    finding: AuditRecord | Path | str | None,
    target: str | None,
    label: Label | None,
    tilted: LoadedModel,
    base: LoadedModel | None,
) -> Wanted:
    """What is to be taken back.

    Args:
        finding: of an audit, or where its record lies.
        target: as text.
        label: of the tilted model.
        tilted: the tilted model.
        base: its reference.

    Raises:
        ConfigError: nothing says what.
    """
    if finding is not None:
        record = finding if isinstance(finding, AuditRecord) else read_audit(Path(finding))
        return wanted_of_audit(record, tilted.vocabulary)
    if target is not None:
        return wanted_of_target(target, tilted)
    if label is not None:
        return wanted_of_label(label, base or tilted)
    raise ConfigError(
        "nothing says what to take back: the model has no label",
        fix="give --finding AUDIT (the --out of `tiltlm audit`), or --target",
    )


def open_case(
    tilted: LoadedModel,
    base: LoadedModel | None,
    label: Label | None,
    wanted: Wanted,
    contexts: str | None,
    *,
    seed: int,
    progress: Progress,
) -> Case:
    """The two models with contexts to compare them at.

    Args:
        tilted: the tilted model.
        base: its reference.
        label: of the tilted model.
        wanted: what is to be taken back.
        contexts: as for `make_contexts`.
        seed: of contexts, their split, and training.
        progress: told how far work has come.
    """
    itself = label_base(tilted)
    reference = None if base is None else label_base(base)
    keys = (itself.sha256, None if reference is None else reference.sha256)
    parts = contexts_of_both(tilted, base, contexts, seed=seed, keys=keys, progress=progress)
    return Case(tilted, base, reference, itself, label, wanted, parts, seed, progress)


def name_of(given: LoadedModel | str | Path, loaded: LoadedModel) -> str:
    """The name of a model, as it was given or as it calls itself.

    Args:
        given: as a user gave it.
        loaded: what came of that.
    """
    if not isinstance(given, LoadedModel):
        return str(given)
    return loaded.name or loaded.model.name_or_path or type(loaded.model).__name__
