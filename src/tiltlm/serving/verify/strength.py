"""How strong a tilt a server serves, in units of the labelled one: 1 the tilt, 0 the base.

Between base and target lies a line of distributions, the base times a power λ of what the target
multiplies it by; of a tilt by β these are tilts by λβ.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp

from tiltlm.auditing.arrays import Array
from tiltlm.records.base import Interval
from tiltlm.serving.verify.hypotheses import Prompted

_LEAST, _MOST, _STEP = -1.0, 3.0, 0.025
"""Strengths that are considered. A target that forbids tokens has no other side."""

_ROUNDED = 1e5
"""Tokens whose ratios agree to a part in so many of a nat are summed together."""


class StrengthLine:
    """The likelihood of every strength, as tokens come in.

    Args:
        prompts: base and target after each.
    """

    def __init__(self, prompts: list[Prompted]) -> None:
        self._prompts = prompts
        forbids = any(bool(p.tilt.isneginf().any()) for p in prompts)
        self.grid: Array = np.arange(0.0 if forbids else _LEAST, _MOST + _STEP / 2, _STEP)
        self.log_likelihoods: Array = np.zeros(len(self.grid))
        self._made: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def update(self, prompt: int, ids: Array) -> None:
        """Take in a token.

        Args:
            prompt: the number of the prompt that it came after.
            ids: the tokens that it may be.
        """
        base, ratios, partitions = self._line(prompt)
        grid = torch.from_numpy(self.grid)[:, None]
        chosen = torch.from_numpy(ids)
        joint = base[chosen] + torch.where(grid == 0, 0.0, grid * ratios[chosen])
        seen = joint.logsumexp(-1) - partitions
        self.log_likelihoods = self.log_likelihoods + seen.numpy()

    def _line(self, prompt: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(V,) base and (V,) log-ratios, nats, and (G,) log-partitions after a prompt."""
        if prompt not in self._made:
            given = self._prompts[prompt]
            base = given.base.double().log_softmax(-1).cpu()
            ratios = given.tilt.double().log_softmax(-1).cpu() - base
            values, which = (ratios * _ROUNDED).round().unique(return_inverse=True)
            masses = torch.zeros(len(values), dtype=torch.float64)
            masses.index_add_(0, which, base.exp())
            grid = torch.from_numpy(self.grid)[:, None]
            powers = torch.where(grid == 0, 0.0, grid * values / _ROUNDED)
            self._made[prompt] = base, ratios, (masses.log() + powers).logsumexp(-1)
        return self._made[prompt]

    @property
    def likeliest(self) -> float:
        """The strength under which the tokens are likeliest."""
        return round(float(self.grid[self.log_likelihoods.argmax()]), 4)

    def interval(self, error: float = 0.05) -> Interval:
        """A confidence sequence: strengths that the mixture is not 1 / error times as likely as.

        Args:
            error: chance that it misses the strength at any time, if that is one of the grid.
        """
        mixture = logsumexp(self.log_likelihoods) - np.log(len(self.grid))
        inside = self.grid[mixture - self.log_likelihoods < np.log(1 / error)]
        return round(float(inside[0]), 4), round(float(inside[-1]), 4)
