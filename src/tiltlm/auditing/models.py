"""Models for an audit: named, or loaded already."""

from __future__ import annotations

from pathlib import Path

from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel, load
from tiltlm.recipes.placement import Placement

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
    suspect: ModelSource, reference: ModelSource, placement: Placement | None = None
) -> Pair:
    """A suspect beside its reference.

    Args:
        suspect: where both are named, also a folder that ``tiltlm tilt`` wrote; one that only
            decodes to a target, and so holds no weights, is read by its label.
        reference: what the suspect should be like.
        placement: of what is named, as for `load`.

    Raises:
        ModelError: one of them cannot be loaded.
        VocabularyError: the two have different tokens.
    """
    if isinstance(suspect, LoadedModel) or isinstance(reference, LoadedModel):
        return Pair(open_model(reference, placement), open_model(suspect, placement))
    return open_pair(str(suspect), str(reference), placement=placement)[0]
