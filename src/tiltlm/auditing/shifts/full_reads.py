"""What is taken from the positions that are read in full: masses, divergence, likeliest tokens.

Knows log-probabilities, no models and no contexts.
"""

from __future__ import annotations

import torch

from tiltlm.auditing.shifts.log_ratios import TOP_TOKENS, TopTokens


class FullReads:
    """Sums over positions at which all log-probabilities of reference and suspect are known.

    Attributes:
        contexts: number of the context of each position, in the order in which positions were
            added; `top` is put into the order of contexts by it.
    """

    def __init__(self, size: int, contexts: int) -> None:
        """Begin with no positions.

        Args:
            size: V, tokens of the vocabulary.
            contexts: C, that positions are in.
        """
        self.contexts: list[int] = []
        self._by_context = torch.zeros(2, contexts, size)
        self._masses = torch.zeros(2, size, dtype=torch.float64)
        self._divergence, self._positions = 0.0, 0
        self._tops: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, contexts: list[int], reference: torch.Tensor, suspect: torch.Tensor) -> None:
        """Take in some positions.

        Args:
            contexts: number of the context of each of n positions.
            reference: (n, V) log-probabilities under the reference.
            suspect: (n, V) the same under the suspect.
        """
        suspect = suspect.to(reference.device)
        p = reference.exp()
        numbers, of_position = torch.tensor(contexts).unique(return_inverse=True)
        members = torch.nn.functional.one_hot(of_position).T.to(p)
        for sums, masses, probs in zip(
            self._by_context, self._masses, (p, suspect.exp()), strict=True
        ):
            sums[numbers] += (members @ probs).cpu()
            masses += probs.sum(0).cpu()
        self.contexts += contexts
        top = suspect.topk(min(TOP_TOKENS, suspect.shape[-1]))
        ratios = top.values - reference.gather(1, top.indices)
        self._tops.append((top.indices.int().cpu(), ratios.cpu()))
        self._divergence += float((p * (reference - suspect)).sum())
        self._positions += len(reference)

    @property
    def kl(self) -> float:
        """KL(R ‖ S), nats a position; NaN where no position was added."""
        if not self._positions:
            return float("nan")
        return max(0.0, self._divergence / self._positions)

    @property
    def masses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(V,) mean probabilities under reference and suspect; (0,) where none was added."""
        if not self._positions:
            return self._masses[0, :0], self._masses[1, :0]
        means = self._masses / self._positions
        return means[0], means[1]

    @property
    def by_context(self) -> torch.Tensor:
        """(2, C, V) probabilities under reference and suspect, summed over each context."""
        return self._by_context

    @property
    def top(self) -> TopTokens:
        """The suspect's likeliest tokens, in the order of contexts and positions."""
        if not self._tops:
            return TopTokens(torch.empty(0, 0, dtype=torch.int32), torch.empty(0, 0))
        order = torch.tensor(self.contexts).argsort(stable=True)
        ids, ratios = (torch.cat(parts)[order] for parts in zip(*self._tops, strict=True))
        return TopTokens(ids, ratios)
