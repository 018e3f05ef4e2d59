"""Reads how a suspect differs from its reference at fixed contexts, in one pass over each.

Where logits are a linear function of hidden states, so is their mean over positions: one product
with the head for each context, instead of one for each position. Knows no classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tiltlm.auditing.shifts.full_reads import FullReads
from tiltlm.auditing.shifts.log_ratios import FULL_READ_INTERVAL, Shift
from tiltlm.contexts.logit_reader import LogitReader, kept_on_host
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.events.automaton import State
from tiltlm.measures.pair import ROWS
from tiltlm.models.batching import positions_at_once
from tiltlm.models.head import Head
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sharing import same_body
from tiltlm.models.structure import vocabulary_size
from tiltlm.progress import Advance
from tiltlm.targets.bound import BoundTarget


class ShiftReader:
    """Reads suspects against one reference at fixed contexts.

    The reference is read once, and its hidden states are kept for every suspect after the first. A
    suspect whose body is the reference's is not read at all.

    Attributes:
        contexts: C contexts at which suspects are read.
    """

    def __init__(
        self,
        reference: LoadedModel,
        contexts: TokenContexts,
        strata: torch.Tensor | None = None,
        key: str | None = None,
    ) -> None:
        """Put the reference into evaluation mode; nothing is read yet.

        Args:
            reference: what suspects are compared with.
            contexts: where.
            strata: (N,) number of the stratum of each position, in order, where shifts are wanted
                by stratum.
            key: of the reference's weights; contexts that it has drawn itself, and whose hidden
                states were kept, are then not read again.
        """
        self.contexts = contexts
        self._stratum_weights: list[torch.Tensor] = []
        if strata is not None:
            self.stratify(strata)
        reference.model.eval()
        self._reader = LogitReader(reference.model)
        self._size = vocabulary_size(reference.model)
        self._cached_rows: dict[int, torch.Tensor] = {}
        if key is not None and contexts.states is not None and contexts.states.key == key:
            hidden = enumerate(contexts.states.hidden)
            self._cached_rows = {i: rows[contexts.positions(i)] for i, rows in hidden}

    @property
    def head(self) -> Head | None:
        """The output head of the reference; None where its logits are not a product with one."""
        return self._reader.head

    @property
    def rows(self) -> torch.Tensor:
        """(N, D) hidden states of the reference at all positions, in order; it must have a head."""
        self._read_ahead()
        return torch.cat([self._cached_rows[i] for i in range(len(self.contexts))])

    def stratify(self, strata: torch.Tensor) -> None:
        """Read shifts by stratum from now on; the reference is not read again.

        Args:
            strata: (N,) number of the stratum of each position, in order.
        """
        counts = [len(self.contexts.positions(i)) for i in range(len(self.contexts))]
        weights = torch.nn.functional.one_hot(strata).T.float()
        # For each context (S, n): the weight of each of its positions in the mean of each stratum.
        self._stratum_weights = list((weights / weights.sum(1, keepdim=True)).split(counts, 1))

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits of the reference.

        Args:
            rows: (N, D) its hidden states.

        Returns:
            (N, V) float32.
        """
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
            advance: is told how many contexts are done.
            masses: False to leave out all but the mean log-ratios: the divergence is then NaN, and
                the masses and likeliest tokens are empty.

        Raises:
            MeasurementError: some logits are not numbers.
        """
        self._read_ahead()
        reader, shares_body = self._suspect_reader(suspect)
        by_context = torch.empty(len(self.contexts), self._size)
        # Of reference and suspect, or of what a target changes: sums over strata.
        stratum_sums: list[torch.Tensor] = []
        full_reads = FullReads(self._size, len(self.contexts) if masses else 0)
        done = 0
        for indices in self._reader.batches(self.contexts):
            reference_rows = self._reference_rows(indices)
            suspect_rows = reference_rows if shares_body else self._read_rows(reader, indices)
            if decodes is None:
                means, sums = self._compare(reader, reference_rows, suspect_rows, indices)
            else:
                means, sums = self._apply_target(decodes, reference_rows, indices)
            by_context[indices] = means
            pairs = zip(stratum_sums, sums, strict=True)
            stratum_sums = [total + batch for total, batch in pairs] if stratum_sums else sums
            if masses:
                rows = (reference_rows, suspect_rows)
                self._read_in_full(full_reads, reader, *rows, decodes, indices)
            done += len(indices)
            if advance:
                advance(done)
        if not bool(by_context.isfinite().all()):
            raise MeasurementError(
                "some logits are not numbers, so nothing was measured",
                fix="check the weights of suspect and reference",
            )
        by_context -= by_context.mean(1, keepdim=True)
        return Shift(
            by_context,
            full_reads.kl,
            *full_reads.masses,
            full_reads.by_context,
            self._by_stratum(reader, stratum_sums),
            full_reads.top,
            self.contexts.tokens,
        )

    def _read_in_full(
        self,
        full_reads: FullReads,
        reader: LogitReader,
        reference_rows: list[torch.Tensor],
        suspect_rows: list[torch.Tensor],
        decodes: BoundTarget | None,
        indices: list[int],
    ) -> None:
        """Add the positions of some contexts that are read in full."""
        rows = (reference_rows, suspect_rows)
        numbers = [i for i in indices for _ in self._full_positions(i)]
        for reference, suspect in self._log_probs(reader, *rows, decodes, indices):
            full_reads.add(numbers[: len(reference)], reference, suspect)
            numbers = numbers[len(reference) :]

    def _suspect_reader(self, suspect: LoadedModel | None) -> tuple[LogitReader, bool]:
        """A suspect's reader, and whether its hidden states are the reference's own."""
        if suspect is None or suspect.model is self._reader.model:
            return self._reader, True
        reader = LogitReader(suspect.model.eval())
        has_heads = self.head is not None and reader.head is not None
        return reader, has_heads and same_body(self._reader.model, reader.model)

    def _compare(
        self,
        reader: LogitReader,
        reference_rows: list[torch.Tensor],
        suspect_rows: list[torch.Tensor],
        indices: list[int],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(n, V) mean log-ratios of n contexts, and the stratum sums of reference and suspect."""
        suspect_means = self._mean_logits(reader, suspect_rows, indices)
        means = suspect_means - self._mean_logits(self._reader, reference_rows, indices)
        if not self._stratum_weights:
            return means, []
        pairs = ((self._reader, reference_rows), (reader, suspect_rows))
        return means, [self._linear_sums(model, rows, indices) for model, rows in pairs]

    def _apply_target(
        self, target: BoundTarget, rows: list[torch.Tensor], indices: list[int]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(n, V) mean changes of logits by a target in n contexts, and its stratum sums."""
        changes = []
        for index, row in zip(indices, rows, strict=True):
            logits = self._reader.logits(row)
            changes.append((target.logits(logits, self._states(target, index)) - logits).cpu())
        pairs = zip(indices, changes, strict=True)
        means = torch.stack([self._position_weights(i) @ change for i, change in pairs])
        return means, [self._stratum_sums(changes, indices)] if self._stratum_weights else []

    def _mean_logits(
        self, reader: LogitReader, rows: list[torch.Tensor], indices: list[int]
    ) -> torch.Tensor:
        """(n, V) mean logits of n contexts."""
        weights = [self._position_weights(i) for i in indices]
        pairs = list(zip(weights, rows, strict=True))
        if _is_linear(reader):
            # Means keep their digits, also of hidden states in half precision.
            means = [w.to(r.device) @ r.float() for w, r in pairs]
            return reader.logits(torch.stack(means)).cpu()
        logits = [(w, reader.logits(r)) for w, r in pairs]
        return torch.stack([w.to(of.device) @ of for w, of in logits]).cpu()

    def _linear_sums(
        self, reader: LogitReader, rows: list[torch.Tensor], indices: list[int]
    ) -> torch.Tensor:
        """(S, ·) stratum sums of rows, or of logits where these are no linear function of rows."""
        if not _is_linear(reader):
            rows = [reader.logits(row) for row in rows]
        return self._stratum_sums(rows, indices)

    def _stratum_sums(self, values: list[torch.Tensor], indices: list[int]) -> torch.Tensor:
        """(S, ·) sums of values at positions, by their weight in the mean of each stratum."""
        weights = torch.cat([self._stratum_weights[i] for i in indices], 1)
        stacked = torch.cat(values)
        return weights.to(stacked.device) @ stacked.float()

    def _by_stratum(self, reader: LogitReader, sums: list[torch.Tensor]) -> torch.Tensor:
        """(S, V) mean log-ratios of strata, centred, from sums of both models or of changes."""
        if not sums:
            return torch.empty(0, self._size)
        by_stratum = sums[0]
        if len(sums) == 2:
            by_stratum = _finish(reader, sums[1]) - _finish(self._reader, sums[0])
        return by_stratum.cpu() - by_stratum.cpu().mean(1, keepdim=True)

    def _log_probs(
        self,
        reader: LogitReader,
        reference_rows: list[torch.Tensor],
        suspect_rows: list[torch.Tensor],
        decodes: BoundTarget | None,
        indices: list[int],
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(n, V) log-probabilities of reference and suspect where read in full, in blocks."""
        first, second = (
            torch.cat([row[::FULL_READ_INTERVAL] for row in rows])
            for rows in (reference_rows, suspect_rows)
        )
        states: list[State] = []
        if decodes is not None:
            states = [s for i in indices for s in self._states(decodes, i)[::FULL_READ_INTERVAL]]
        size = positions_at_once(self._reader.model, ROWS)
        for begin in range(0, len(first), size):
            reference = self._reader.logits(first[begin : begin + size])
            if decodes is None:
                suspect = reader.logits(second[begin : begin + size])
            else:
                suspect = decodes.logits(reference, states[begin : begin + size])
            yield reference.log_softmax(-1), suspect.log_softmax(-1)

    def _full_positions(self, index: int) -> torch.Tensor:
        """The positions of a context that are read in full."""
        return self.contexts.positions(index)[::FULL_READ_INTERVAL]

    def _states(self, target: BoundTarget, index: int) -> list[State]:
        """State of a target's automaton at each position of a context that counts."""
        states = target.read(self.contexts.sequences[index].tolist())
        return [states[p] for p in self.contexts.positions(index).tolist()]

    def _read_ahead(self) -> None:
        """Read the reference at all contexts: it may take turns in memory with a suspect."""
        for indices in self._reader.batches(self.contexts) if self.head else ():
            self._reference_rows(indices)

    def _reference_rows(self, indices: list[int]) -> list[torch.Tensor]:
        """Rows of the reference for each context, read once."""
        # Without a head, rows are logits, which are too many to be kept.
        if self._reader.head is None:
            return self._read_rows(self._reader, indices)
        missing = [i for i in indices if i not in self._cached_rows]
        if missing:
            rows = self._read_rows(self._reader, missing)
            self._cached_rows.update(zip(missing, map(kept_on_host, rows), strict=True))
        return [self._cached_rows[i] for i in indices]

    def _read_rows(self, reader: LogitReader, indices: list[int]) -> list[torch.Tensor]:
        """For each context (n, D or V), rows at the positions that count."""
        rows = reader.read(self.contexts, indices)
        return [row[self.contexts.positions(i)] for i, row in zip(indices, rows, strict=True)]

    def _position_weights(self, index: int) -> torch.Tensor:
        """(n,) weights of a context's positions in its mean; they sum to 1."""
        weights = self.contexts.weights[index][self.contexts.positions(index)]
        return weights / weights.sum()


def _is_linear(reader: LogitReader) -> bool:
    """Whether the logits of a mean of rows are the mean of their logits."""
    return reader.head is None or reader.head.cap is None


def _finish(reader: LogitReader, sums: torch.Tensor) -> torch.Tensor:
    """(S, V) mean logits from the sums of `ShiftReader._linear_sums`."""
    return reader.logits(sums) if _is_linear(reader) else sums
