"""Open a model beside its base, with the target that its label names.

A saved model is enough: its label says which base it was made from, and what it was made to follow.
"""

from __future__ import annotations

from tiltlm.errors import ConfigError
from tiltlm.labels.label import Label
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import load, load_base
from tiltlm.models.places import locate
from tiltlm.targets.from_label import bind_given, bind_labelled


def open_pair(
    model: str, against: str | None = None, target: str | None = None
) -> tuple[Pair, str, Label | None]:
    """Load a model and its base, with the target that its label names.

    Args:
        model: a folder of ``tiltlm tilt``, ``decode`` included, or any name for `load`.
        against: the base; by default the one that the label names.
        target: the target as text; by default the label's.

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
        base_name, base = label.base.name, load_base(label.base)
    elif against is not None:
        base_name, base = against, load(against)
    else:
        raise ConfigError(
            "the model has no label that names its base",
            where=model,
            fix="give it: --against BASE",
        )
    tilted = base if decodes else load(folder)
    bound = None
    if target is not None:
        bound = bind_given(target, base)
    elif label is not None:
        bound = bind_labelled(label, base)
    return Pair(base, tilted, bound, decodes=decodes), base_name, label
