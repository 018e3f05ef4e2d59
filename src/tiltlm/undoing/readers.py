"""What undoing reads of a model at contexts: log-probabilities, masses of classes, divergence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import ROWS, Reference
from tiltlm.losses.divergences import precise_kl
from tiltlm.realise.class_targets import class_levels, class_log_masses
from tiltlm.targets.bound import BoundTarget
from tiltlm.undoing.class_masses import Classes


@dataclass(frozen=True)
class ModelReader:
    """A model at contexts, its weights alone or corrected while decoding.

    Attributes:
        states: its hidden states there, with its head.
        correction: what decoding turns its distribution into; None for the weights alone.
    """

    states: Reference
    correction: BoundTarget | None = None

    def log_probs(self, index: int, positions: torch.Tensor) -> torch.Tensor:
        """Log-probabilities at some positions of a context.

        Args:
            index: which context.
            positions: (n,) in it.

        Returns:
            (n, V).
        """
        own = self.states.logits(index, positions).log_softmax(-1)
        if self.correction is None:
            return own
        states = self.states.states(self.correction, index)
        return self.correction.log_probs(own, [states[p] for p in positions.tolist()])

    def blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """All positions that count: a context's number, and at most `ROWS` positions in it."""
        contexts = self.states.contexts
        for index in range(len(contexts)):
            for positions in contexts.positions(index).split(ROWS):
                yield index, positions

    def class_masses(self, classes: Classes) -> list[torch.Tensor]:
        """Log-masses of classes at all positions that count.

        Args:
            classes: A of them.

        Returns:
            for each context (n, A + 1) float64; the last column is of the tokens in no class.
        """
        masks = classes.masks.to(self.states.head.weight.device)
        read: list[list[torch.Tensor]] = [[] for _ in range(len(self.states.contexts))]
        for index, positions in self.blocks():
            read[index].append(class_log_masses(self.log_probs(index, positions), masks))
        return [torch.cat(parts) for parts in read]

    def kl_from(self, reference: ModelReader) -> float:
        """KL(reference ‖ this), mean over positions, nats.

        Args:
            reference: at the same contexts.
        """
        total, count = 0.0, 0
        for index, positions in self.blocks():
            before = reference.log_probs(index, positions)
            kl = precise_kl(before, self.log_probs(index, positions).to(before))
            total, count = total + float(kl.sum()), count + len(positions)
        return total / count


def levels_of(states: Reference, classes: Classes) -> torch.Tensor | None:
    """Where the logits of each class stand, for heads with a cap.

    Args:
        states: a model at contexts.
        classes: A of them.

    Returns:
        (N, A) over all positions that count, each class averaged with its own probabilities; None
        for a head without a cap, to which it does not matter.
    """
    if states.head.cap is None:
        return None
    masks = classes.masks.to(states.head.weight.device)
    blocks = ModelReader(states).blocks()
    return torch.cat([class_levels(states.logits(*block), masks) for block in blocks])
