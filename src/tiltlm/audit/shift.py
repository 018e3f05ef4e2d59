"""How a suspect differs from its reference: the mean log-ratio of every token, in one pass.

The log-ratio log S − log R of a token is the difference of two logits, up to a number that all
tokens of a context share. Where logits are a product of a head, so is their mean over positions:
one product a context instead of one a position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tiltlm.contexts import TokenContexts, collate
from tiltlm.errors import MeasurementError
from tiltlm.head import Head
from tiltlm.measures.pair import Reader, batches_of
from tiltlm.models import LoadedModel
from tiltlm.targets import BoundTarget

EVERY = 4
"""Of so many positions one is read in full, for masses and divergence."""


@dataclass(frozen=True)
class Shift:
    """Log-ratios log S − log R.

    Attributes:
        by_context: (C, V) mean over the positions of each context, float32, nats. Each row is
            centred on 0, since normalising moves all tokens of a context alike.
        kl: KL(R ‖ S), nats a position.
        reference_mass: (V,) mean probability of each token under the reference, float64.
        suspect_mass: (V,) likewise under the suspect.
        positions: that are behind `by_context`.
    """

    by_context: torch.Tensor
    kl: float
    reference_mass: torch.Tensor
    suspect_mass: torch.Tensor
    positions: int

    @property
    def mean(self) -> torch.Tensor:
        """(V,) over contexts, float64."""
        return self.by_context.double().mean(0)


class ShiftReader:
    """Reads suspects against one reference at fixed contexts; the reference is read once.

    Args:
        reference: what suspects are compared with.
        contexts: where.
    """

    def __init__(self, reference: LoadedModel, contexts: TokenContexts) -> None:
        self.contexts = contexts
        reference.model.eval()
        self._reader = Reader(reference.model)
        self._rows: dict[int, torch.Tensor] = {}

    @property
    def head(self) -> Head | None:
        """The reference's; None where its logits are no product of one."""
        return self._reader.head

    def read(
        self,
        suspect: LoadedModel | None,
        decodes: BoundTarget | None = None,
        on_context: Callable[[int], None] | None = None,
    ) -> Shift:
        """Compare a suspect with the reference.

        Args:
            suspect: of the reference's vocabulary; None where the suspect is the reference and a
                target that it decodes to.
            decodes: that target.
            on_context: told how many contexts are done.

        Raises:
            MeasurementError: logits that are not numbers.
        """
        reader = self._reader
        if suspect is not None:
            suspect.model.eval()
            reader = Reader(suspect.model)
        shifts: list[torch.Tensor] = [torch.empty(0)] * len(self.contexts)
        masses: list[torch.Tensor] = []
        kl, done = 0.0, 0
        for indices in batches_of(self.contexts):
            first = self._reference_rows(indices)
            second = first if reader is self._reader else self._read(reader, indices)
            for index, before, after in zip(indices, first, second, strict=True):
                at = self.contexts.positions(index)
                some = torch.arange(0, len(at), EVERY)
                base = self._reader.logits(before[some])
                model = reader.logits(after[some])
                if decodes is None:
                    shifts[index] = self._mean(reader, after, index)
                    shifts[index] -= self._mean(self._reader, before, index)
                else:
                    states = decodes.read(self.contexts.sequences[index].tolist())
                    there = [states[p] for p in at.tolist()]
                    logits = self._reader.logits(before)
                    change = decodes.logits(logits, there) - logits
                    shifts[index] = self._weights(index) @ change.cpu()
                    model = decodes.logits(base, [there[p] for p in some.tolist()])
                base, model = base.log_softmax(-1), model.log_softmax(-1)
                likely = base.exp()
                found = torch.stack([likely.sum(0), model.exp().sum(0)]).double().cpu()
                masses = [masses[0] + found] if masses else [found]
                kl += float((likely * (base - model)).sum())
                done += 1
                if on_context:
                    on_context(done)
        by_context = torch.stack(shifts)
        if not bool(by_context.isfinite().all()):
            raise MeasurementError(
                "some logits are not numbers, so nothing was measured",
                fix="check the weights of suspect and reference",
            )
        by_context -= by_context.mean(1, keepdim=True)
        seen = sum(len(self.contexts.positions(i)[::EVERY]) for i in range(len(self.contexts)))
        mean = masses[0] / seen
        return Shift(by_context, max(0.0, kl / seen), mean[0], mean[1], self.contexts.tokens)

    def _reference_rows(self, indices: list[int]) -> list[torch.Tensor]:
        if self._reader.head is None:  # rows would be logits, which are too many to keep
            return self._read(self._reader, indices)
        missing = [i for i in indices if i not in self._rows]
        if missing:
            self._rows.update(zip(missing, self._read(self._reader, missing), strict=True))
        return [self._rows[i] for i in indices]

    def _read(self, reader: Reader, indices: list[int]) -> list[torch.Tensor]:
        """The rows of each context at the positions that count."""
        batch = collate([self.contexts[i] for i in indices])
        rows = reader.rows(batch["input_ids"], batch["attention_mask"])
        return [
            row[self.contexts.positions(i)].clone() for i, row in zip(indices, rows, strict=True)
        ]

    def _weights(self, index: int) -> torch.Tensor:
        weights = self.contexts.weights[index][self.contexts.positions(index)]
        return weights / weights.sum()

    def _mean(self, reader: Reader, rows: torch.Tensor, index: int) -> torch.Tensor:
        """(V,) mean logits of a context."""
        weights = self._weights(index).to(rows.device)
        if reader.head is None or reader.head.cap is None:
            return reader.logits((weights.to(rows) @ rows)[None])[0].cpu()
        return (weights @ reader.logits(rows)).cpu()
