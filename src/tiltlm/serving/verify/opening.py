"""Base, target and server of a verification, from what a user names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiltlm.errors import ConfigError
from tiltlm.labels.label import Label
from tiltlm.models.loading import LoadedModel, load, load_base
from tiltlm.models.names import check_name
from tiltlm.models.places import locate
from tiltlm.recipes.placement import Placement
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.from_label import bind_given, bind_labelled


@dataclass(frozen=True)
class Claim:
    """What a server should be serving.

    Attributes:
        base: loaded.
        base_name: as records name it.
        target: bound to the base, and fitted.
        label: the label that says so; None where the user said it.
    """

    base: LoadedModel
    base_name: str
    target: BoundTarget
    label: Label | None


def open_claim(
    label: Path | None, target: str | None, base: str | None, placement: Placement | None
) -> Claim:
    """Load the base, and bind the target of a label or of a user.

    Args:
        label: a folder with a label, of ``tiltlm tilt`` or ``tiltlm export``.
        target: as text, instead of a label's.
        base: a name for `load`, needed without a label; with one, where the base lies now.
        placement: of the base, as for `load`.

    Raises:
        ConfigError: neither label nor target says what should be served, or both do; or there is
            no base.
        ModelError: the base cannot be loaded, or has other weights than the label says.
    """
    if (label is None) == (target is None):
        raise ConfigError(
            "it takes a label or a target to say what should be served, and not both",
            fix="--label FOLDER, or --target with --base",
        )
    if label is None:
        assert target is not None
        if base is None:
            raise ConfigError(
                "without a label nothing says which base the target is over",
                where="--base",
                fix="name it: --base BASE",
            )
        loaded = load(base, placement=placement)
        return Claim(loaded, base, bind_given(target, loaded), None)
    found = _label_in(label)
    named = found.base if base is None else found.base.model_copy(update={"name": base})
    loaded = load_base(named, placement)
    return Claim(loaded, named.name, bind_labelled(found, loaded), found)


def open_local(name: str, claim: Claim, placement: Placement | None) -> tuple[LoadedModel, bool]:
    """A model here, and whether it decodes to the claim's target.

    Args:
        name: as for `load`; also a folder of ``tiltlm tilt``, ``run`` or ``export``.
        claim: what it should be serving.
        placement: as for `load`.

    Raises:
        ModelError: it cannot be loaded.
    """
    check_name(name)
    folder, _, decodes = locate(name)
    if decodes:
        return claim.base, True
    return load(folder, placement=placement), False


def _label_in(folder: Path) -> Label:
    _, label, _ = locate(str(folder))
    if label is None:
        raise ConfigError(
            "there is no label (tilt.json) in this folder, nor in model/ inside it",
            where=str(folder),
            fix="name a folder that `tiltlm tilt` wrote, or say what should be served: --target "
            "with --base",
        )
    if label.undone:
        raise ConfigError(
            "the label says that the tilt was taken back since, so it does not say what should be "
            "served",
            where=str(folder),
            fix="say it: --target with --base",
        )
    return label
