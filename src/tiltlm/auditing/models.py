"""Models for an audit: named, or loaded already."""

from __future__ import annotations

from pathlib import Path

from tiltlm.auditing.claims import read_claim
from tiltlm.errors import ConfigError
from tiltlm.labels.step import LabelBase
from tiltlm.measures.opening import open_both
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.names import check_name
from tiltlm.models.places import locate, weights_in
from tiltlm.recipes.placement import Placement
from tiltlm.targets.from_label import bind_labelled

ModelSource = str | Path | LoadedModel
"""A name for `load`, or what `load` returned."""


def open_model(source: ModelSource, placement: Placement | None = None) -> LoadedModel:
    """The model itself, loaded if it was named.

    Raises:
        ModelError: there is no such model.
    """
    return source if isinstance(source, LoadedModel) else load(source, placement=placement)


def model_name(source: ModelSource) -> str:
    """What a record calls a model."""
    if isinstance(source, LoadedModel):
        return source.name or "a model in memory"
    return str(source)


def open_suspect(
    suspect: ModelSource,
    reference: ModelSource,
    placement: Placement | None = None,
    *,
    decodes: bool = False,
) -> Pair:
    """A suspect beside its reference, which is the one that was named and no other.

    Args:
        suspect: a loaded model, a name for `load`, or a folder with weights in ``model/``. What its
            label says is not asked.
        reference: what the suspect should be like.
        placement: of what is named, as for `load`.
        decodes: whether the suspect is a folder without weights, whose label says to which target
            the reference decodes. Only the user can say so.

    Raises:
        ConfigError: a folder without weights was not said to decode, or one with weights was.
        ModelError: one of the two cannot be loaded.
        VocabularyError: the two have different tokens.
    """
    if isinstance(suspect, LoadedModel):
        if decodes:
            raise _not_decoding(model_name(suspect))
        return Pair(open_model(reference, placement), suspect)
    name = str(suspect)
    if decodes:
        return _decoding_pair(name, reference, placement)
    check_name(name)
    weights = weights_in(name)
    if weights is None and read_claim(name) is not None:
        raise ConfigError(
            "the folder holds no weights, only a label that says what it decodes to, and an audit "
            "does not go by a suspect's label",
            where=name,
            fix="if you know that it decodes so, add --decodes",
        )
    if isinstance(reference, LoadedModel):
        return Pair(reference, load(weights or name, placement=placement))
    check_name(str(reference))
    base = LabelBase(name=str(reference), sha256=None)
    return Pair(*open_both(base, weights or name, placement))


def _decoding_pair(name: str, reference: ModelSource, placement: Placement | None) -> Pair:
    """The reference beside itself under the target of a label."""
    _, label, weightless = locate(name)
    if label is None or not weightless:
        raise _not_decoding(name)
    base = open_model(reference, placement)
    return Pair(base, base, bind_labelled(label, base), decodes=True)


def _not_decoding(name: str) -> ConfigError:
    return ConfigError(
        "the suspect has weights, or no label that says to what it decodes",
        where=name,
        fix="leave out --decodes",
    )
