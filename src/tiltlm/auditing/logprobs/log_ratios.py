"""What a suspect shows beside its reference, and what benign changes show at the same places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logprobs.null import TopKNull
from tiltlm.auditing.logprobs.regression import TopKLogRatios
from tiltlm.auditing.logprobs.suspects import ShownLogProbs, all_places, log_probs_at
from tiltlm.auditing.null.pack import NullPack, member_families
from tiltlm.auditing.shifts.place_covariance import PlaceCovariance
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress

_BLOCK = 64


def log_ratios_at(
    reader: LogitReader, observed: Sequence[ShownLogProbs]
) -> tuple[TopKLogRatios, Array, Array]:
    """What a suspect shows beside what the reference makes of the same places.

    Args:
        reader: of the reference.
        observed: at N places.

    Returns:
        log-ratios; (V,) mean probability of each token under the reference; and (V,) how much of
        it was at places where the suspect showed the token.
    """
    mass, inside = 0.0, 0.0
    width = max(len(one.ids) for one in observed)
    tokens = np.full((len(observed), width), -1)
    ratios = np.zeros((len(observed), width))
    for begin in range(0, len(observed), _BLOCK):
        block = observed[begin : begin + _BLOCK]
        log_probs = log_probs_at(reader, [o.place for o in block])
        likely = np.exp(log_probs.astype(float))
        mass = mass + likely.sum(0)
        for number, (one, row, p) in enumerate(zip(block, log_probs, likely, strict=True), begin):
            tokens[number, : len(one.ids)] = one.ids
            ratios[number, : len(one.ids)] = one.log_probs - row[one.ids]
            part = np.zeros_like(p)
            part[one.ids] = p[one.ids]
            inside = inside + part
    contexts = np.unique([o.place.context for o in observed], return_inverse=True)[1]
    seen = TopKLogRatios(tokens, ratios, contexts)
    return seen, np.asarray(mass) / len(observed), np.asarray(inside) / len(observed)


def null_at(
    pack: NullPack,
    rows: Sequence[int],
    top: int,
    hypotheses: TokenClasses,
    moves: PlaceCovariance,
    base: LoadedModel,
    progress: Progress | None = None,
) -> TopKNull:
    """What a pack's members show.

    Args:
        pack: of benign changes.
        rows: numbers of the places where the suspect was asked.
        top: log-probabilities a place.
        hypotheses: classes.
        moves: what a moved body does.
        base: the reference.
        progress: told of progress.
    """
    progress = progress or NoProgress()
    progress.begin("what benign changes show", 2 * len(pack.members))
    own = ShiftReader(base, pack.contexts).read(base).top
    contexts = np.array([place.context for place in all_places(pack.contexts)])
    chosen = np.array(rows)
    where = np.unique(contexts[chosen], return_inverse=True)[1]

    def seen(ids: torch.Tensor, ratios: torch.Tensor) -> TopKLogRatios:
        return TopKLogRatios(ids[chosen, :top].numpy(), ratios[chosen, :top].float().numpy(), where)

    tops = zip(*(pack.top[name] for name in ("ids", "ratios")), strict=True)
    return TopKNull(
        [seen(*top) for top in tops],
        seen(own.ids, own.ratios),
        hypotheses,
        moves,
        member_families(pack),
        progress.advance,
    )
