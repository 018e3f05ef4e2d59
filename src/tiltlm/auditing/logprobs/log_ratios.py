"""What a suspect shows beside its reference, and what benign changes show at the same positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.logprobs.kept_null import keep_scores, key_of, read_scores
from tiltlm.auditing.logprobs.null import TopKNull
from tiltlm.auditing.logprobs.positions import PositionReader, all_positions
from tiltlm.auditing.logprobs.regression import TopKLogRatios
from tiltlm.auditing.logprobs.suspects import TopLogProbs
from tiltlm.auditing.null.pack import NullPack, learn_family_covariances, member_families
from tiltlm.auditing.shifts.place_covariance import TOKEN_NOISE, PlaceCovariance
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress

_BLOCK = 64
"""Positions whose log-probabilities of all tokens are in memory at once."""


@dataclass(frozen=True)
class ShownShift:
    """What a suspect shows of how it differs from its reference.

    Attributes:
        log_ratios: at the tokens that were shown.
        mass: (V,) mean probability of each token under the reference.
        shown_mass: (V,) how much of that was at positions where the suspect showed the token.
    """

    log_ratios: TopKLogRatios
    mass: Array
    shown_mass: Array


def log_ratios_at(reader: LogitReader, shown: Sequence[TopLogProbs]) -> ShownShift:
    """What a suspect shows beside what the reference makes of the same positions.

    Args:
        reader: of the reference.
        shown: by the suspect at N positions, at least one.
    """
    mass, shown_mass = 0.0, 0.0
    width = max(len(top.ids) for top in shown)
    tokens = np.full((len(shown), width), -1)
    ratios = np.zeros((len(shown), width))
    places = PositionReader(reader, [top.position for top in shown])
    for begin in range(0, len(shown), _BLOCK):
        block = shown[begin : begin + _BLOCK]
        log_probs = places.log_probs([top.position for top in block])
        probs = np.exp(log_probs.astype(float))
        mass = mass + probs.sum(0)
        for number, (top, row, p) in enumerate(zip(block, log_probs, probs, strict=True), begin):
            tokens[number, : len(top.ids)] = top.ids
            ratios[number, : len(top.ids)] = top.log_probs - row[top.ids]
            part = np.zeros_like(p)
            part[top.ids] = p[top.ids]
            shown_mass = shown_mass + part
    contexts = np.unique([top.position.context for top in shown], return_inverse=True)[1]
    return ShownShift(
        TopKLogRatios(tokens, ratios, contexts),
        np.asarray(mass) / len(shown),
        np.asarray(shown_mass) / len(shown),
    )


def null_at(
    pack: NullPack,
    rows: Sequence[int],
    top: int,
    classes: TokenClasses,
    covariance: PlaceCovariance,
    reference: LoadedModel,
    progress: Progress | None = None,
) -> TopKNull:
    """What a pack's members show at the positions where a suspect was asked.

    What members score there is kept in the cache, since it hangs on nothing that a suspect says.

    Args:
        pack: of benign changes.
        rows: of the positions, among all at which the pack was read in full.
        top: log-probabilities a position.
        classes: to be judged.
        covariance: of what a moved body does.
        reference: whose benign changes the pack holds.
        progress: told of progress.
    """
    progress = progress or NoProgress()
    reader = ShiftReader(reference, pack.contexts)
    without = pack.family_covariances
    if without is None:
        without = learn_family_covariances(pack, HeadRows.of(reader.head), progress)
    progress.begin("what benign changes show", 2 * len(pack.members))
    context_of = np.array([position.context for position in all_positions(pack.contexts)])
    chosen = np.array(rows)
    contexts = np.unique(context_of[chosen], return_inverse=True)[1]

    def shown(ids: torch.Tensor, ratios: torch.Tensor) -> TopKLogRatios:
        at_positions = ratios[chosen, :top].float().numpy()
        return TopKLogRatios(ids[chosen, :top].numpy(), at_positions, contexts)

    families = member_families(pack)
    members = [
        shown(ids, ratios) for ids, ratios in zip(pack.top["ids"], pack.top["ratios"], strict=True)
    ]
    # A server's noise is of one suspect, so nothing that hangs on it is kept.
    keeps = covariance.noise == TOKEN_NOISE
    key = _key(pack, members, classes, families, without) if keeps else ""
    known = read_scores(key, len(members), len(classes)) if keeps else None
    own = reader.read(reference).top if known is None else None
    null = TopKNull(
        members,
        None if own is None else shown(own.ids, own.ratios),
        classes,
        covariance,
        families,
        without,
        progress.advance,
        known,
    )
    if keeps and known is None:
        keep_scores(key, null.scores())
    return null


def _key(
    pack: NullPack,
    members: Sequence[TopKLogRatios],
    classes: TokenClasses,
    families: Sequence[str],
    without: Mapping[str, Array],
) -> str:
    """Of all that the scores of members depend on; the head's rows are the reference's."""
    parts: list[object] = [pack.reference["sha256"], *families, *classes.names]
    parts += [classes.members.indices, classes.members.indptr, pack.place_covariance.numpy()]
    for shown in members:
        parts += [shown.tokens, shown.ratios, shown.contexts]
    for family, moves in sorted(without.items()):
        parts += [family, moves]
    return key_of(parts)
