"""Open a model beside its base, with the target that its label names.

A saved model is enough: its label says which base it was made from, and what it was made to follow.
"""

from __future__ import annotations

from tiltlm.errors import ConfigError
from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelBase
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel, load, load_base
from tiltlm.models.memory import fit_together
from tiltlm.models.names import check_name
from tiltlm.models.placement import resolve
from tiltlm.models.places import locate
from tiltlm.models.sharing import can_share, share
from tiltlm.models.turns import Turns
from tiltlm.recipes.placement import Placement
from tiltlm.targets.from_label import bind_given, bind_labelled


def open_pair(
    model: str,
    against: str | None = None,
    target: str | None = None,
    placement: Placement | None = None,
) -> tuple[Pair, str, Label | None]:
    """Load a model and its base, with the target that its label names.

    Args:
        model: a folder of ``tiltlm tilt``, ``decode`` included, or any name for `load`.
        against: the base; by default the one that the label names.
        target: the target as text; by default the label's.
        placement: of both, as for `load`; it also says whether they take turns in memory.

    Returns:
        the pair, the base's name, and the label, which is None without one.

    Raises:
        ConfigError: no base was given and no label names one, or the label is damaged.
        ModelError: one of the two cannot be loaded.
        TargetError: the target must be fitted, and no label says with what strength.
        VocabularyError: the two have different tokens.
    """
    folder, label, decodes = locate(model)
    if label is not None and against in (None, label.base.name):
        named = label.base
    elif against is not None:
        check_name(against)
        named = LabelBase(name=against, sha256=None)
    else:
        raise ConfigError(
            "the model has no label that names its base",
            where=model,
            fix="give it: --against BASE",
        )
    base, tilted = open_both(named, None if decodes else folder, placement)
    bound = None
    if target is not None:
        bound = bind_given(target, base)
    elif label is not None:
        bound = bind_labelled(label, base)
    return Pair(base, tilted, bound, decodes=decodes), named.name, label


def open_both(
    base: LabelBase, model: str | None, placement: Placement | None
) -> tuple[LoadedModel, LoadedModel]:
    """Load a base and a model beside it.

    An adapter of the base shares its weights, so that both take the memory of one; two whole models
    take turns in memory where the placement says so, or where both do not fit.

    Args:
        base: as a label names it.
        model: as for `load`; None where the base decodes, and stands for both.
        placement: of both, as for `load`.

    Raises:
        ModelError: one of the two cannot be loaded.
        ConfigError: rounded weights should take turns.
    """
    if model is None or can_share(model, base):
        loaded = load_base(base, placement)
        return loaded, loaded if model is None else share(model, loaded)
    if not _take_turns(base.name, model, placement):
        return load_base(base, placement), load(model, placement=placement)
    turns = Turns()
    # The base last, since it is the first to be needed.
    taking_turns = turns.open(lambda: load(model, placement=placement))
    return turns.open(lambda: load_base(base, placement)), taking_turns


def _take_turns(base: str, model: str, placement: Placement | None) -> bool:
    """Whether two whole models take turns: as the user says, or where both do not fit."""
    where = resolve(placement)
    if placement is not None and placement.one_at_a_time is not None:
        if placement.one_at_a_time and where.quantization:
            raise ConfigError(
                "weights that are rounded when they are loaded cannot come and go",
                where="--one-at-a-time",
                fix="leave it out, or --quantization",
            )
        return placement.one_at_a_time
    return where.quantization is None and not fit_together([base, model], where.device, where.dtype)
