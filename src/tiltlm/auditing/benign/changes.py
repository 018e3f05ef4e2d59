"""How benign changes of a reference move it: all that is learnt from, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.auditing.arrays import Array


@dataclass(frozen=True)
class BenignChanges:
    """B benign changes.

    Attributes:
        shifts: (B, V) mean log-ratios over all positions, centred on 0, nats.
        moves: (B, S, D) the moves that explain the mean log-ratios of each stratum.
        stratum_spreads: (B, K) how far the strength of each class differs from stratum to stratum,
            nats (`likeness.spread_over_strata`).
        trigger_scores: (B,) largest score of a triggered class; empty where no words were tried.
        families: (B,) of what kind each is, or empty.
        units: (B,) number of the training that each comes of: changes of one training are alike;
            empty where each stands alone.
    """

    shifts: Array
    moves: Array
    stratum_spreads: Array
    trigger_scores: Array
    families: Sequence[str] = ()
    units: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.shifts)

    def choose(self, members: Array) -> BenignChanges:
        """Some of them.

        Args:
            members: (B,) booleans.
        """
        kept = np.flatnonzero(members).tolist()
        return BenignChanges(
            self.shifts[kept],
            self.moves[kept],
            self.stratum_spreads[kept],
            self.trigger_scores[kept] if len(self.trigger_scores) else self.trigger_scores,
            [self.families[i] for i in kept] if self.families else (),
            [self.units[i] for i in kept] if self.units else (),
        )
