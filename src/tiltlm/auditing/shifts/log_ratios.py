"""How a suspect differs from its reference: the mean log-ratio of every token, in one pass.

The log-ratio log S − log R of a token is the difference of two logits, up to a number that all
tokens of a context share. Where logits are a product of a head, so is their mean over positions:
one product a context instead of one a position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tiltlm.auditing.shifts.filters import HeadGeometry
from tiltlm.auditing.shifts.strata import Change
from tiltlm.contexts.logit_reader import LogitReader, batches_of
from tiltlm.contexts.token_contexts import TokenContexts, collate
from tiltlm.errors import MeasurementError
from tiltlm.events.automaton import State
from tiltlm.measures.pair import ROWS
from tiltlm.models.head import Head
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import vocabulary_size
from tiltlm.progress import Advance
from tiltlm.targets.target import BoundTarget

EVERY = 4
"""Of so many positions one is read in full, for masses and divergence."""


TOP = 20
"""The likeliest tokens of a position, as a server shows them."""


@dataclass(frozen=True)
class Top:
    """The `TOP` likeliest tokens of a model, by contexts and positions in order.

    Attributes:
        ids: (N, TOP), the likeliest first.
        ratios: (N, TOP) log S − log R.
    """

    ids: torch.Tensor
    ratios: torch.Tensor


@dataclass(frozen=True)
class Shift:
    """Log-ratios log S − log R.

    Attributes:
        by_context: (C, V) mean over the positions of each context, float32, nats. Each row is
            centred on 0, since normalising moves all tokens of a context alike.
        kl: KL(R ‖ S), nats a position.
        reference_mass: (V,) mean probability of each token under the reference, float64.
        suspect_mass: (V,) likewise under the suspect.
        by_stratum: (S, V) mean over the positions of each stratum, likewise; S is 0 without.
        top: what a server would show of the suspect, at the positions that are read in full.
        positions: that are behind `by_context`.
    """

    by_context: torch.Tensor
    kl: float
    reference_mass: torch.Tensor
    suspect_mass: torch.Tensor
    by_stratum: torch.Tensor
    top: Top
    positions: int

    @property
    def mean(self) -> torch.Tensor:
        """(V,) over contexts, float64."""
        return self.by_context.double().mean(0)

    def change(self, space: HeadGeometry) -> Change:
        """What the auditor looks at."""
        by_stratum = self.by_stratum.double().numpy()
        return Change(self.mean.numpy(), space.moves(by_stratum))


class ShiftReader:
    """Reads suspects against one reference at fixed contexts; the reference is read once.

    Args:
        reference: what suspects are compared with.
        contexts: where.
        strata: (N,) of their positions in order, if shifts are wanted by stratum.
    """

    def __init__(
        self,
        reference: LoadedModel,
        contexts: TokenContexts,
        strata: torch.Tensor | None = None,
    ) -> None:
        self.contexts = contexts
        self._shares: list[torch.Tensor] = []
        if strata is not None:
            self.stratify(strata)
        reference.model.eval()
        self._reader = LogitReader(reference.model)
        self._size = vocabulary_size(reference.model)
        self._rows: dict[int, torch.Tensor] = {}

    @property
    def head(self) -> Head | None:
        """The reference's; None where its logits are no product of one."""
        return self._reader.head

    @property
    def rows(self) -> torch.Tensor:
        """(N, D) hidden states of the reference at all positions in order."""
        for indices in batches_of(self.contexts):
            self._reference_rows(indices)
        return torch.cat([self._rows[i] for i in range(len(self.contexts))])

    def stratify(self, strata: torch.Tensor) -> None:
        """Read shifts by stratum from now on; the reference is not read again.

        Args:
            strata: (N,) of the positions in order.
        """
        counts = [len(self.contexts.positions(i)) for i in range(len(self.contexts))]
        shares = torch.nn.functional.one_hot(strata).T.float()
        # (S, n) for each context: what each position counts in the mean of its stratum.
        self._shares = list((shares / shares.sum(1, keepdim=True)).split(counts, 1))

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, V) of the reference, from its hidden states."""
        return self._reader.logits(rows)

    def read(
        self,
        suspect: LoadedModel | None,
        decodes: BoundTarget | None = None,
        advance: Advance | None = None,
        *,
        masses: bool = True,
    ) -> Shift:
        """Compare a suspect with the reference.

        Args:
            suspect: of the reference's vocabulary; None where the suspect is the reference and a
                target that it decodes to.
            decodes: that target.
            advance: told how many contexts are done.
            masses: False to leave out all but the mean log-ratios: divergence is then NaN, and
                what is by token empty.

        Raises:
            MeasurementError: logits that are not numbers.
        """
        reader = self._reader
        if suspect is not None and suspect.model is not reader.model:
            suspect.model.eval()
            reader = LogitReader(suspect.model)
        shifts = torch.empty(len(self.contexts), self._size)
        # Of each stratum: mean rows of reference and suspect, or of what a target changes.
        strata: list[torch.Tensor] = []
        sums = torch.zeros(2, self._size, dtype=torch.float64)
        tops: list[tuple[torch.Tensor, ...]] = []
        order: list[int] = []
        kl, seen, done = 0.0, 0, 0
        for indices in batches_of(self.contexts):
            first = self._reference_rows(indices)
            second = first if reader is self._reader else self._read(reader, indices)
            if decodes is None:
                shifts[indices] = self._means(reader, second, indices)
                shifts[indices] -= self._means(self._reader, first, indices)
                rows = [(self._reader, first), (reader, second)] if self._shares else []
                parts = [self._by_stratum(one, found, indices) for one, found in rows]
            else:
                changes = self._decoded(decodes, first, indices)
                pairs = zip(indices, changes, strict=True)
                shifts[indices] = torch.stack([self._weights(i) @ c for i, c in pairs])
                parts = [self._stratum_sums(changes, indices)] if self._shares else []
            strata = [a + b for a, b in zip(strata, parts, strict=True)] if strata else parts
            if masses:
                for base, model in self._some(reader, first, second, decodes, indices):
                    likely = base.exp()
                    sums += torch.stack([likely.sum(0), model.exp().sum(0)]).double().cpu()
                    tops.append(_top(base, model))
                    kl += float((likely * (base - model)).sum())
                    seen += len(base)
                order += [i for i in indices for _ in self.contexts.positions(i)[::EVERY]]
            done += len(indices)
            if advance:
                advance(done)
        if not bool(shifts.isfinite().all()):
            raise MeasurementError(
                "some logits are not numbers, so nothing was measured",
                fix="check the weights of suspect and reference",
            )
        shifts -= shifts.mean(1, keepdim=True)
        by_stratum = strata[0] if strata else shifts[:0]
        if len(strata) == 2:
            by_stratum = _finished(reader, strata[1]) - _finished(self._reader, strata[0])
        by_stratum = by_stratum.cpu() - by_stratum.cpu().mean(1, keepdim=True)
        kl = max(0.0, kl / seen) if seen else float("nan")
        sums = sums / seen if seen else sums[:, :0]
        place = torch.tensor(order).argsort(stable=True)
        shown = [torch.cat(part)[place] for part in zip(*tops, strict=True)] if tops else [sums] * 2
        masses_of = (sums[0], sums[1])
        return Shift(shifts, kl, *masses_of, by_stratum, Top(*shown), self.contexts.tokens)

    def _means(
        self, reader: LogitReader, rows: list[torch.Tensor], indices: list[int]
    ) -> torch.Tensor:
        """(B, V) mean logits of each context."""
        weights = [self._weights(i).to(r.device) for i, r in zip(indices, rows, strict=True)]
        pairs = list(zip(weights, rows, strict=True))
        if _is_linear(reader):
            return reader.logits(torch.stack([w.to(r) @ r for w, r in pairs])).cpu()
        return torch.stack([w @ reader.logits(r) for w, r in pairs]).cpu()

    def _decoded(
        self, target: BoundTarget, rows: list[torch.Tensor], indices: list[int]
    ) -> list[torch.Tensor]:
        """(n, V) change of the logits by a target, for each context."""
        found = []
        for index, row in zip(indices, rows, strict=True):
            logits = self._reader.logits(row)
            found.append((target.logits(logits, self._states(target, index)) - logits).cpu())
        return found

    def _by_stratum(
        self, reader: LogitReader, rows: list[torch.Tensor], indices: list[int]
    ) -> torch.Tensor:
        """(S, ·) sums of rows, of logits where these are no linear function of rows."""
        if not _is_linear(reader):
            rows = [reader.logits(row) for row in rows]
        return self._stratum_sums(rows, indices)

    def _stratum_sums(self, rows: list[torch.Tensor], indices: list[int]) -> torch.Tensor:
        shares = torch.cat([self._shares[i] for i in indices], 1)
        together = torch.cat(rows)
        return shares.to(together.device) @ together.float()

    def _some(
        self,
        reader: LogitReader,
        first: list[torch.Tensor],
        second: list[torch.Tensor],
        decodes: BoundTarget | None,
        indices: list[int],
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Log-probabilities of reference and suspect at every fourth position, in blocks."""
        before, after = (torch.cat([r[::EVERY] for r in rows]) for rows in (first, second))
        states: list[State] = []
        if decodes is not None:
            states = [s for i in indices for s in self._states(decodes, i)[::EVERY]]
        for begin in range(0, len(before), ROWS):
            base = self._reader.logits(before[begin : begin + ROWS])
            if decodes is None:
                model = reader.logits(after[begin : begin + ROWS])
            else:
                model = decodes.logits(base, states[begin : begin + ROWS])
            yield base.log_softmax(-1), model.log_softmax(-1)

    def _states(self, target: BoundTarget, index: int) -> list[State]:
        states = target.read(self.contexts.sequences[index].tolist())
        return [states[p] for p in self.contexts.positions(index).tolist()]

    def _reference_rows(self, indices: list[int]) -> list[torch.Tensor]:
        if self._reader.head is None:  # rows would be logits, which are too many to keep
            return self._read(self._reader, indices)
        missing = [i for i in indices if i not in self._rows]
        if missing:
            self._rows.update(zip(missing, self._read(self._reader, missing), strict=True))
        return [self._rows[i] for i in indices]

    def _read(self, reader: LogitReader, indices: list[int]) -> list[torch.Tensor]:
        """The rows of each context at the positions that count."""
        batch = collate([self.contexts[i] for i in indices])
        rows = reader.rows(batch["input_ids"], batch["attention_mask"])
        return [
            row[self.contexts.positions(i)].clone() for i, row in zip(indices, rows, strict=True)
        ]

    def _weights(self, index: int) -> torch.Tensor:
        weights = self.contexts.weights[index][self.contexts.positions(index)]
        return weights / weights.sum()


def _is_linear(reader: LogitReader) -> bool:
    """Whether a mean of logits is made of the mean of rows."""
    return reader.head is None or reader.head.cap is None


def _finished(reader: LogitReader, sums: torch.Tensor) -> torch.Tensor:
    """Logits of what `_by_stratum` summed up."""
    return reader.logits(sums) if _is_linear(reader) else sums


def _top(base: torch.Tensor, model: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Ids and log S − log R of the suspect's likeliest tokens."""
    top = model.topk(min(TOP, model.shape[-1]))
    return top.indices.int().cpu(), (top.values - base.gather(1, top.indices)).cpu()
