"""What a target does to classes of tokens at every position: all that an edit of the head needs.

A head target moves the logits of whole classes, and leaves the distribution within a class and
outside all of them as it is. So masses of classes say everything of it, and logits are read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.losses.masses import class_masses
from tiltlm.models.placement import float64_device
from tiltlm.realise.regression import ridge_direction
from tiltlm.targets.bound import BoundTarget


@dataclass(frozen=True)
class ClassTargets:
    """A target at N positions, as A classes of tokens see it; float64, on the processor.

    Attributes:
        hidden: of each context (n, D), the reference's hidden states at the positions that count.
        log_masses: (N, A + 1) of the classes under the reference, and of all else.
        shifts: (N, A) of the target, on logits, nats.
        raw_shifts: (N, A) of the product W·h, before the head scales and caps it.
        kl_weights: (N, A) by how much an error of each shift counts in the KL.
        mean_rows: (A, D) the mean row of the head among a class's tokens, by their probability.
    """

    hidden: list[torch.Tensor]
    log_masses: torch.Tensor
    shifts: torch.Tensor
    raw_shifts: torch.Tensor
    kl_weights: torch.Tensor
    mean_rows: torch.Tensor

    @classmethod
    def of(cls, target: BoundTarget, reference: Reference, classes: torch.Tensor) -> ClassTargets:
        """Read a target at a reference's contexts.

        Args:
            target: bound and fitted.
            reference: where.
            classes: (A, V) boolean, the target's.
        """
        parts: list[tuple[torch.Tensor, ...]] = []
        classes = classes.to(reference.head.weight.device)
        likely = torch.zeros(classes.shape, dtype=torch.float64)
        for index, positions, log_probs, states in reference.blocks(target):
            shifts = target.shifts(log_probs, states)
            log_masses = class_log_masses(log_probs, classes)
            shifted = log_masses + torch.nn.functional.pad(shifts, (0, 1))
            target_masses = shifted.softmax(1)[:, :-1]
            weights = target_masses * (1 - target_masses)
            levels = shifts
            if reference.head.cap is not None:
                levels = class_levels(reference.logits(index, positions), classes)
            raw = reference.head.raw_shift(levels, shifts)
            for a, tokens in enumerate(classes):
                within = log_probs[:, tokens].softmax(1).T.double().cpu()
                likely[a, tokens.cpu()] += within @ weights[:, a]
            parts.append((log_masses, shifts, raw, weights))
        contexts = reference.contexts
        hidden = [reference.hidden[i][contexts.positions(i)] for i in range(len(contexts))]
        mean_rows = torch.stack(
            [
                likely[a, tokens.cpu()].to(reference.head.weight) @ reference.head.weight[tokens]
                for a, tokens in enumerate(classes)
            ]
        )
        log_masses, shifts, raw, weights = (torch.cat(p) for p in zip(*parts, strict=True))
        rows = mean_rows.detach().double().cpu()
        return cls(hidden, log_masses, shifts, raw, weights, rows)

    def expected_directions(self, reference: Reference) -> torch.Tensor:
        """Directions along which shifts are expected to lie.

        That which is alike in all contexts, for a shift that is; and those of the classes' own
        logits, for a shift that follows how likely a class is.

        Args:
            reference: whose hidden states these are.

        Returns:
            (D, 1 + A) float64.
        """
        ones = torch.ones(len(self.shifts), dtype=torch.float64)
        constant = ridge_direction(self.hidden, ones, ones, float64_device(reference.head.weight))
        return torch.cat([constant[:, None], self.mean_rows.T], 1)


def class_log_masses(log_probs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of classes of tokens, and of all tokens outside them.

    Args:
        log_probs: (N, V).
        classes: (A, V) boolean, disjoint.

    Returns:
        (N, A + 1) float64 on the processor; the last column is of the tokens outside.
    """
    masses = class_masses(log_probs, classes).cpu().double()
    outside = (1 - masses.sum(1, keepdim=True)).clamp_min(1e-300)
    return torch.cat([masses, outside], 1).log()


def class_levels(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Where the logits of each class stand, which matters where a cap bends them.

    They are averaged with the class's own probabilities, since its likeliest tokens matter most.

    Args:
        logits: (N, V).
        classes: (A, V) boolean.

    Returns:
        (N, A) float64 on the processor.
    """
    levels = [(logits[:, m] * logits[:, m].softmax(-1)).sum(-1) for m in classes]
    return torch.stack(levels, 1).cpu().double()
