"""How a suspect differs from its reference: mean log-ratios by token, and what goes with them.

The log-ratio of a token is log S − log R, with S the suspect's and R the reference's probability.
It is the difference of two logits, up to a number that all tokens of a context share. This is the
data alone; `shift_reader` reads it off models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.strata import Change

FULL_READ_INTERVAL = 4
"""One position in so many is read in full, for the mass of each token and the divergence."""


TOP_TOKENS = 20
"""Tokens of a position whose log-probabilities are known, as of a server."""


@dataclass(frozen=True)
class TopTokens:
    """What a server would show of a suspect at the N positions that are read in full.

    Positions are in the order of contexts, and in each context in order.

    Attributes:
        ids: (N, `TOP_TOKENS`) the suspect's likeliest tokens, the likeliest first, int32.
        ratios: (N, `TOP_TOKENS`) log S − log R of these, nats.
    """

    ids: torch.Tensor
    ratios: torch.Tensor


@dataclass(frozen=True)
class Shift:
    """Mean log-ratios log S − log R of a suspect, and its masses and divergence.

    Attributes:
        by_context: (C, V) mean over the positions of each context, float32, nats. Each row is
            centred on 0, since normalising moves all tokens of a context alike.
        kl: KL(R ‖ S), nats a position.
        reference_mass: (V,) mean probability of each token under the reference, float64.
        suspect_mass: (V,) the same under the suspect.
        masses_by_context: (2, C, V) probability of each token under reference and suspect, summed
            over the positions of each context that are read in full, float32.
        by_stratum: (S, V) mean over the positions of each stratum, centred on 0, nats; S is 0
            where no strata were given.
        top: what a server would show of the suspect.
        positions: number of positions that `by_context` is a mean over.
    """

    by_context: torch.Tensor
    kl: float
    reference_mass: torch.Tensor
    suspect_mass: torch.Tensor
    masses_by_context: torch.Tensor
    by_stratum: torch.Tensor
    top: TopTokens
    positions: int

    @property
    def mean(self) -> torch.Tensor:
        """(V,) mean log-ratio over contexts, each of which counts alike, float64, nats."""
        return self.by_context.double().mean(0)

    def change(self, geometry: HeadGeometry) -> Change:
        """What the audit of logits looks at.

        Args:
            geometry: of the reference's head.
        """
        by_stratum = self.by_stratum.double().numpy()
        return Change(self.mean.numpy(), geometry.solve_moves(by_stratum), by_stratum)
