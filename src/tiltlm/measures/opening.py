"""Opening."""

from __future__ import annotations

from typing import Any

from tiltlm.errors import ConfigError, TargetError
from tiltlm.labels.label import base_name, find_label
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel, load
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import BoundTarget


def open_pair(
    model: str, against: str | None = None, target: str | None = None
) -> tuple[Pair, str, dict[str, Any]]:
    """Load a model and its base, with the target that its label names.

    Returns:
        the pair, the base's name, and the label ({} without one).

    Raises:
        ConfigError: no base was given and no label names one.
        VocabularyError: the two have different tokens.
    """
    folder, label = find_label(model)
    named = against or base_name(label)
    if named is None:
        raise ConfigError(
            "the model has no label that names its base",
            where=model,
            fix="give it: --against BASE",
        )
    named_model5 = named == "model5" and "recipe" in label
    base = load(
        named,
        seed=int(label.get("seed", 0)),
        config=label["recipe"]["model"]["config"] if named_model5 else None,
    )
    decodes = label.get("by") == "decode"
    tilted = base if decodes else load(folder)
    bound = _bound(target, label, base)
    if decodes and bound is None:
        raise ConfigError("a model by decode needs its target", where=model, fix="give --target")
    return Pair(base, tilted, bound, decodes=decodes), named, label


def _bound(text: str | None, label: dict[str, Any], base: LoadedModel) -> BoundTarget | None:
    source = text or label.get("target")
    if source is None:
        return None
    target = parse_target(source, where="--target" if text else "tilt.json")
    vocabulary = base.vocabulary
    bound = target.bind(vocabulary, base.tokenizer)
    if bound.needs_fit():
        strengths = None if text else label.get("strengths")
        if not strengths:
            raise TargetError(
                f"{bound.text} is fitted to contexts, and no label says with what strength",
                fix='give the tilt itself: --target "tilt(EVENT, STRENGTH)"',
            )
        bound.restore_strengths(strengths)
    return bound
