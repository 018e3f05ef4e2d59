"""The regressions behind `row_edit`: from a tilted model's hidden states to its reference's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import ROWS, Reference
from tiltlm.realise.head_edit import WEIGHT_FLOOR
from tiltlm.realise.regression import RIDGE
from tiltlm.undoing.class_masses import Classes

OTHER = -1
"""In place of the number of a class: a token in none."""

LogitsOf = Callable[[torch.Tensor], torch.Tensor]
"""Logits of some tokens, of hidden states."""


@dataclass(frozen=True)
class RowRegression:
    """What is read of both models at N positions, and weighted ridge regressions on it.

    Attributes:
        hidden: (N, D) float64 of the tilted model.
        moved: (N, D) float64: the reference's hidden states less the model's.
        outside: (N,) log-sum of the model's logits over all tokens in no class.
        rise: (N,) the same less the reference's: by how much all other tokens rose together.
        odds: (N, A) log-odds of each class against all other tokens, in the reference.
        weights: (N,) what an error costs, by the classes' masses in the reference.
    """

    hidden: torch.Tensor
    moved: torch.Tensor
    outside: torch.Tensor
    rise: torch.Tensor
    odds: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, model: Reference, reference: Reference, classes: Classes) -> RowRegression:
        """Read both models at the same contexts.

        Args:
            model: the tilted one.
            reference: what it should be like.
            classes: A of them.
        """
        contexts, outside = model.contexts, ~classes.masks.any(0)
        parts: list[tuple[torch.Tensor, ...]] = []
        for index in range(len(contexts)):
            for positions in contexts.positions(index).split(ROWS):
                after = model.logits(index, positions).cpu().double()
                before = reference.logits(index, positions).cpu().double()
                rest = before[:, outside].logsumexp(-1)
                odds = [before[:, mask].logsumexp(-1) - rest for mask in classes.masks]
                hidden = model.hidden[index][positions].cpu().double()
                other = reference.hidden[index][positions].cpu().double()
                total = after[:, outside].logsumexp(-1)
                parts.append((hidden, other - hidden, total, total - rest, torch.stack(odds, 1)))
        hidden, moved, total, rise, odds_ = (torch.cat(rows) for rows in zip(*parts, strict=True))
        mass = odds_.sigmoid()
        cost = mass * (1 - mass)
        weights = (cost / cost.mean(0).clamp_min(1e-300)).mean(1) + WEIGHT_FLOOR
        return cls(hidden, moved, total, rise, odds_, weights)

    def solved(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What of the hidden states gives ``moved``, ``rise``, and 1.

        Returns:
            (D, D) that is added to the identity to map the model's hidden states to the
            reference's, transposed as rows of a head are multiplied by it; (D,) for the rise; (D,)
            for a constant.
        """
        weighted = self.hidden * self.weights[:, None]
        gram = weighted.T @ self.hidden / len(weighted)
        gram.diagonal().add_(RIDGE * gram.diagonal().mean())
        ones = torch.ones_like(self.rise)
        wanted = torch.cat([self.moved, self.rise[:, None], ones[:, None]], 1)
        found = torch.linalg.solve(gram, weighted.T @ wanted / len(weighted))
        return found[:, :-2].T, found[:, -2], found[:, -1]

    def explained(self, mapping: torch.Tensor) -> float:
        """The share of how far hidden states moved that the mapping explains; 1 if none moved.

        Args:
            mapping: (D, D), as `solved` gives it.
        """
        total = (self.weights[:, None] * self.moved**2).sum()
        error = self.moved - self.hidden @ mapping.T
        if float(total) <= 1e-20 * float((self.hidden**2).sum()):
            return 1.0
        return float(1 - (self.weights[:, None] * error**2).sum() / total)

    def left(self, logits_of: LogitsOf, class_of: torch.Tensor) -> torch.Tensor:
        """The strength that each class is left with, weighted as it is measured.

        Args:
            logits_of: gives (n, T) logits of the edited tokens of (n, D) hidden states.
            class_of: (T,) the number of each token's class, `OTHER` for one in none. Without any
                of these, all other tokens are as they are in the model.

        Returns:
            (A,) in nats.
        """
        count, others = self.odds.shape[1], bool((class_of == OTHER).any())
        sums = torch.zeros(2, count, dtype=torch.float64)
        for rows in torch.arange(len(self.hidden)).split(ROWS):
            logits = logits_of(self.hidden[rows])
            parts = [logits[:, class_of == a].logsumexp(-1) for a in range(count)]
            rest = logits[:, class_of == OTHER].logsumexp(-1) if others else self.outside[rows]
            odds = torch.stack(parts, 1) - rest[:, None]
            mass = odds.sigmoid()
            weight = mass * (1 - mass)
            sums += torch.stack([(weight * (odds - self.odds[rows])).sum(0), weight.sum(0)])
        return sums[0] / sums[1].clamp_min(1e-300)
