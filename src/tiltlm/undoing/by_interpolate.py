"""Undo by moving weights towards the reference, as far as it takes, with the curve of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from tiltlm.contexts.reference import Reference
from tiltlm.errors import ModelError
from tiltlm.measures.pair import Pair
from tiltlm.measures.persistence import why_not_mergeable
from tiltlm.models.adapted import plain_copy
from tiltlm.records.undo import SharePoint
from tiltlm.undoing.case import Case
from tiltlm.undoing.readers import ModelReader
from tiltlm.undoing.strengths import estimate_strengths
from tiltlm.undoing.undone import Undone, with_model

SHARES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.0)
"""Shares of the tilted model that are looked at."""

NOTHING_LEFT_NATS = 0.05
"""A mixture in which no event is tilted by more than this is undone."""


def undo_by_interpolate(
    case: Case, share: float | None = None, shares: Sequence[float] = SHARES
) -> Undone:
    """Mix the model's weights with the reference's.

    Args:
        case: opened, with a reference.
        share: of the tilted model; None for the largest of ``shares`` that leaves no event tilted
            by more than `NOTHING_LEFT_NATS`. At 0 nothing is left of the model.
        shares: that the curve is made of.

    Raises:
        ModelError: the two have weights of different shapes.
    """
    assert case.reference is not None
    reason = why_not_mergeable(Pair(case.reference, case.model))
    if reason is not None:
        raise ModelError(f"the two have no weighted mean: {reason}", fix="undo it by edit or train")
    curve = []
    looked_at = sorted({*shares, *(() if share is None else (share,))}, reverse=True)
    case.progress.begin("mixing weights", len(looked_at))
    for number, each in enumerate(looked_at, 1):
        curve.append(_point(case, each))
        case.progress.advance(number)
    chosen = share if share is not None else _largest_without(curve)
    sentence = f"its weights were moved towards the reference's; {chosen:g} of the model is left"
    model = with_model(case.model, mixed(case, chosen))
    return Undone("interpolate", model, sentence, details={"share": chosen}, curve=tuple(curve))


def mixed(case: Case, share: float) -> PreTrainedModel:
    """A model of its own with weights share·model + (1 − share)·reference.

    Args:
        case: opened, with a reference.
        share: of the tilted model.
    """
    assert case.reference is not None
    before = case.reference.model.state_dict()
    model = plain_copy(case.model.model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in before:
                start = before[name].to(parameter.device, torch.float32)
                parameter.copy_(torch.lerp(start, parameter.float(), share))
    return model


def _point(case: Case, share: float) -> SharePoint:
    """One mixture, measured on the held-out contexts."""
    states = Reference(mixed(case, share), case.parts.held_out)
    reader, reference = ModelReader(states), ModelReader(case.reference_held_out)
    before = reference.class_masses(case.classes)
    found = estimate_strengths(before, reader.class_masses(case.classes), case.classes)
    return SharePoint(share=share, strengths=found.estimates(), kl_nats=reader.kl_from(reference))


def _largest_without(curve: Sequence[SharePoint]) -> float:
    """The largest share that leaves nothing; 0 where none of the curve's does."""
    return max(
        (
            point.share
            for point in curve
            if all(abs(strength.mean) < NOTHING_LEFT_NATS for strength in point.strengths)
        ),
        default=0.0,
    )
