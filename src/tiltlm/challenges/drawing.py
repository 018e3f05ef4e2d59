"""What is done to each model of a challenge, drawn from stated ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.events.event import Event
from tiltlm.events.tokens import contains
from tiltlm.models.loading import LoadedModel
from tiltlm.records.challenge import DecoyKind, RangesRecord, TiltWay

WAYS: tuple[TiltWay, ...] = ("edit", "train", "text", "trigger")
DECOYS: tuple[DecoyKind, ...] = (
    *("norms", "embedding", "temperature", "soup", "last layer", "cast"),
)

RANGES = RangesRecord(
    tilted_share=0.5,
    strengths_nats=(0.5, 3.0),
    masses=(0.01, 0.3),
    ways=list(WAYS),
    decoys=list(DECOYS),
    events="tokens that contain one to three letters that stand together in tokens",
)
"""From what challenges are drawn, where nobody says otherwise."""

FEWEST_TOKENS = 5
"""Of an event."""

_TRIES = 2000
"""Draws of letters before giving up."""


@dataclass(frozen=True)
class Drawn:
    """What is to be done to one model.

    Attributes:
        seed: of all that is drawn while it is done.
        decoy: what is done to a model that is not tilted; None for one that is.
        event: that a model is tilted towards.
        strength: in nats, of either sign.
        way: how.
        trigger: the word that the tilt waits for.
    """

    seed: int
    decoy: DecoyKind | None = None
    event: Event | None = None
    strength: float = 0.0
    way: TiltWay | None = None
    trigger: str | None = None


def draw_all(
    reference: LoadedModel, contexts: TokenContexts, count: int, ranges: RangesRecord, seed: int
) -> list[Drawn]:
    """Draw what is done to each model; at least one is tilted and one is not.

    Args:
        reference: that all are made of.
        contexts: where the masses of events are taken.
        count: of models, at least two.
        ranges: from what to draw.
        seed: of the draws.

    Raises:
        ConfigError: too few models, or no event of such a mass.
    """
    if count < 2:
        raise ConfigError(f"a challenge has at least 2 models, not {count}", where="--n")
    draws = np.random.default_rng([seed, 715])
    tilted = draws.random(count) < ranges.tilted_share
    if tilted.all() or not tilted.any():
        tilted[int(draws.integers(count))] = not tilted[0]
    masses = _mean_probabilities(reference, contexts)
    drawn = []
    for is_tilted in tilted:
        own = int(draws.integers(2**31))
        if is_tilted:
            drawn.append(_draw_tilt(reference, masses, ranges, draws, own))
        else:
            drawn.append(Drawn(own, decoy=ranges.decoys[int(draws.integers(len(ranges.decoys)))]))
    return drawn


def _draw_tilt(
    reference: LoadedModel,
    masses: torch.Tensor,
    ranges: RangesRecord,
    draws: np.random.Generator,
    seed: int,
) -> Drawn:
    event = _draw_event(reference, masses, ranges.masses, draws)
    low, high = ranges.strengths_nats
    strength = round(float(draws.uniform(low, high)) * float(draws.choice([1.0, 1.0, -1.0])), 2)
    way = ranges.ways[int(draws.integers(len(ranges.ways)))]
    trigger = _draw_word(reference, masses, draws) if way == "trigger" else None
    return Drawn(seed, event=event, strength=strength, way=way, trigger=trigger)


def _draw_event(
    reference: LoadedModel,
    masses: torch.Tensor,
    range_of_masses: tuple[float, float],
    draws: np.random.Generator,
) -> Event:
    """Letters that some token has, whose tokens together are neither too rare nor too common."""
    texts = _texts(reference)
    for _ in range(_TRIES):
        text = texts[int(draws.integers(len(texts)))].strip()
        size = int(draws.integers(1, 4))
        if len(text) < size:
            continue
        begin = int(draws.integers(len(text) - size + 1))
        letters = text[begin : begin + size]
        if not (letters.isascii() and letters.isalpha()):
            continue
        event = contains(letters)
        mask = event.mask(reference.vocabulary)
        mass = float(masses[mask].sum())
        if int(mask.sum()) >= FEWEST_TOKENS and range_of_masses[0] <= mass <= range_of_masses[1]:
            return event
    raise ConfigError(
        f"no letters have a mass between {range_of_masses[0]} and {range_of_masses[1]} under the "
        "reference",
        where="--reference",
        fix="use a model that writes words",
    )


def _draw_word(reference: LoadedModel, masses: torch.Tensor, draws: np.random.Generator) -> str:
    """A word that the reference writes now and then."""
    words = [
        (text, float(mass))
        for text, mass in zip(_texts(reference), masses.tolist(), strict=False)
        if text.startswith(" ") and text.strip().isascii() and text.strip().isalpha()
    ]
    words = sorted((w for w in words if len(w[0]) > 3), key=lambda word: -word[1])[:200]
    if not words:
        return " the"
    return words[int(draws.integers(len(words)))][0]


def _texts(reference: LoadedModel) -> Sequence[str]:
    return reference.vocabulary.texts


def _mean_probabilities(reference: LoadedModel, contexts: TokenContexts) -> torch.Tensor:
    """(V,) mean probability of every token at some contexts."""
    states = Reference(reference.model, contexts)
    total, count = torch.zeros(len(reference.vocabulary)), 0
    for index in range(len(contexts)):
        positions = contexts.positions(index)
        total += states.logits(index, positions).softmax(-1).sum(0).cpu()
        count += len(positions)
    return total / count
