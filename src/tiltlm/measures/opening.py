"""Open a model beside its base, with the target that its label names.

A saved model is enough: its label says which base it was made from, and what it was made to follow.
"""

from __future__ import annotations

from tiltlm.errors import ConfigError
from tiltlm.labels.label import Label, LabelBase
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel, load, load_base, locate
from tiltlm.models.memory import fit_together
from tiltlm.models.sharing import can_share, load_beside
from tiltlm.models.turns import Turns
from tiltlm.targets.from_label import bind_given, bind_labelled


def open_pair(
    model: str,
    against: str | None = None,
    target: str | None = None,
    *,
    one_at_a_time: bool | None = None,
) -> tuple[Pair, str, Label | None]:
    """Load a model and its base, with the target that its label names.

    Args:
        model: a folder of ``tiltlm tilt``, ``decode`` included, or any name for `load`.
        against: the base; by default the one that the label names.
        target: the target as text; by default the label's.
        one_at_a_time: whether two whole models take turns in memory; None for where they do not
            fit into what is free together.

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
        named = LabelBase(name=against, sha256=None)
    else:
        raise ConfigError(
            "the model has no label that names its base",
            where=model,
            fix="give it: --against BASE",
        )
    base, tilted = _open_both(named, None if decodes else folder, one_at_a_time)
    bound = None
    if target is not None:
        bound = bind_given(target, base)
    elif label is not None:
        bound = bind_labelled(label, base)
    return Pair(base, tilted, bound, decodes=decodes), named.name, label


def _open_both(
    base: LabelBase, model: str | None, one_at_a_time: bool | None
) -> tuple[LoadedModel, LoadedModel]:
    """A base and a model beside it; the base twice where there is none.

    An adapter of the base shares its weights, so that both take the memory of one.
    """
    if model is None or can_share(model, base):
        loaded = load_base(base)
        return loaded, loaded if model is None else load_beside(model, loaded)
    if one_at_a_time is None:
        one_at_a_time = not fit_together([base.name, model])
    if not one_at_a_time:
        return load_base(base), load(model)
    turns = Turns()
    # The base last, since it is the first to be needed.
    taking_turns = turns.open(lambda: load(model))
    return turns.open(lambda: load_base(base)), taking_turns
