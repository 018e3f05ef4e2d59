"""Whether what the files of a pack say can be: a pack may come from a stranger."""

from __future__ import annotations

from typing import Any

import torch

from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.log_ratios import TOP_TOKENS
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.treatments.treatment import FIELDS


def damage_in(pack: NullPack) -> str | None:
    """What cannot be, in a few words; None where nothing is wrong.

    Args:
        pack: as its files were read.
    """
    return _damage_of_texts(pack) or _damage_of_tensors(pack) or _damage_of_places(pack)


def _damage_of_texts(pack: NullPack) -> str | None:
    """What is wrong with what ``null.json`` says."""
    names = (*pack.reference.values(), *pack.corpora.values(), *pack.missing.values())
    texts = (*names, *pack.corpora, *pack.missing, *pack.probes.words, pack.vocabulary)
    if {"name", "sha256"} - {*pack.reference} or not all(isinstance(t, str) for t in texts):
        return "names are no texts"
    if not all(isinstance(kl, int | float) and kl >= 0 for kl in pack.kl):
        return "a divergence is no number"
    if not all(map(_is_member, pack.members)):
        return "a member does not say what it is"
    if len({member["number"] for member in pack.members}) < len(pack.members):
        return "a member is there twice"
    return None


def _is_member(member: Any) -> bool:
    """Whether it has the fields of one."""
    return (
        isinstance(member, dict)
        and {*FIELDS} <= {*member}
        and all(isinstance(member.get(name), str) for name in ("family", "method"))
        and all(type(member.get(name)) is int for name in ("number", "unit"))
    )


def _damage_of_tensors(pack: NullPack) -> str | None:
    """What is wrong with what members shift."""
    tensors = (
        *(pack.shifts, pack.stratum_moves, pack.masses, pack.stratum_spreads),
        *pack.top.values(),
    )
    if {len(pack.kl), len(pack.trigger_scores), *map(len, tensors)} != {len(pack.members)}:
        return "lengths differ"
    moves, (ids, ratios) = pack.stratum_moves, (pack.top["ids"], pack.top["ratios"])
    width = moves.shape[-1]
    shapes = (
        pack.shifts.ndim == 2
        and pack.masses.shape == pack.shifts.shape
        and pack.stratum_spreads.shape[1:] == (len(pack.hypotheses),)
        and pack.hypotheses.members.shape[1] == pack.shifts.shape[1]
        and moves.ndim == 3
        and ids.ndim == 3
        and ids.shape == ratios.shape
        and ids.shape[2] <= TOP_TOKENS
        and pack.place_covariance.shape in ((0,), (width, width))
    )
    if not shapes:
        return "shapes differ"
    numbers = (
        *(pack.shifts, moves, pack.masses, pack.stratum_spreads, ratios),
        pack.place_covariance,
    )
    if not all(t.is_floating_point() and bool(t.isfinite().all()) for t in numbers):
        return "a number is infinite, or none"
    if bool((pack.masses < 0).any()) or _outside(ids, pack.shifts.shape[1]):
        return "a token is none of the vocabulary, or a probability none"
    return None


def _damage_of_places(pack: NullPack) -> str | None:
    """What is wrong with where members were read."""
    vocabulary, words = pack.shifts.shape[1], len(pack.probes.words)
    if _unreadable(pack.contexts, vocabulary) or _unreadable(pack.probes.contexts, vocabulary):
        return "a context cannot be read"
    positions = sum(len(pack.contexts.positions(i)) for i in range(len(pack.contexts)))
    strata = pack.strata
    if strata.shape != (positions,) or _outside(strata, pack.stratum_moves.shape[1]):
        return "strata are not of the contexts"
    groups = torch.from_numpy(pack.probes.groups)
    if groups.ndim != 2 or len(groups) != len(pack.probes.contexts) or _outside(groups, words):
        return "groups are not of the words"
    return None


def _outside(numbers: torch.Tensor, count: int) -> bool:
    """Whether some are no whole numbers from 0 to below a count."""
    if numbers.is_floating_point() or numbers.dtype == torch.bool or not numbers.numel():
        return True
    return int(numbers.min()) < 0 or int(numbers.max()) >= count


def _unreadable(contexts: TokenContexts, vocabulary: int) -> bool:
    """Whether some tokens are none, or weights no numbers."""
    return any(
        _outside(ids, vocabulary) or not bool(weights.isfinite().all()) or not bool(weights.any())
        for ids, weights in zip(contexts.sequences, contexts.weights, strict=True)
    )
