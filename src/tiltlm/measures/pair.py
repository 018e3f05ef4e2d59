"""A model and its base, read side by side at every position of contexts.

Where the two share their body, as after an edit of the head, it is run once for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from tiltlm.contexts.logit_reader import LogitReader, PositionBlock, position_blocks, rows_of
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import MeasurementError, VocabularyError
from tiltlm.events.automaton import State
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.batching import positions_at_once
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sharing import same_body
from tiltlm.models.turns import TakingTurns
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.logits_processor import TiltLogitsProcessor

ROWS = 128
"""Positions whose logits a processor makes at once: fewer make the head's product slow."""

CACHED_ROWS = 8
"""Positions handed on at once: a processor's cache holds all that is done with them."""


@dataclass
class Rows:
    """A block of N positions of one context.

    Attributes:
        context: number of the context.
        positions: (N,) which of its positions.
        following: (N,) the token after each; −1 after the context's last.
        weights: (N,) what each counts in a mean.
        states: the target's state at each; None without a target.
        base: (N, V) log-probabilities of the base.
        target: (N, V) of the exact target; None without one.
        model: (N, V) of the model.
    """

    context: int
    positions: torch.Tensor
    following: torch.Tensor
    weights: torch.Tensor
    states: Sequence[State] | None
    base: torch.Tensor
    target: torch.Tensor | None
    model: torch.Tensor


class Pair:
    """A model and the base that it was made from.

    Args:
        base: the reference.
        model: what was done to it; the base itself where ``decodes``.
        target: bound and fitted, or None where none is known.
        decodes: whether the target is realised by decoding, with nothing done to the weights.
        base_reader: of the base, where there is one already.

    Attributes:
        vocabulary: the one that both have.
        shares_body: whether no weight but the head's differs, so that the body is run once.
        takes_turns: whether only one of the two is in memory at a time.

    Raises:
        VocabularyError: the two have different tokens.
    """

    def __init__(
        self,
        base: LoadedModel,
        model: LoadedModel,
        target: BoundTarget | None = None,
        *,
        decodes: bool = False,
        base_reader: LogitReader | None = None,
    ) -> None:
        self.base, self.model, self.target, self.decodes = base, model, target, decodes
        self.vocabulary = same_vocabulary(base, model)
        self.takes_turns = isinstance(model, TakingTurns)
        self._base_reader = base_reader or LogitReader(base.model.eval())
        self.shares_body = self._same_model or (not self.takes_turns and self._same_body())

    @property
    def _same_model(self) -> bool:
        """Whether nothing was done to the base's weights; of two that take turns something was."""
        return self.model is self.base or (
            not self.takes_turns and self.model.model is self.base.model
        )

    @cached_property
    def _model_reader(self) -> LogitReader:
        """The model's reader; a model that takes turns is not loaded before it is read."""
        if self._same_model:
            return self._base_reader
        return LogitReader(self.model.model.eval())

    def _same_body(self) -> bool:
        """Whether the model's hidden states are the base's."""
        has_heads = all(r.head is not None for r in (self._base_reader, self._model_reader))
        return has_heads and same_body(self.base.model, self.model.model)

    @property
    def processor(self) -> TiltLogitsProcessor | None:
        """To sample from the model with; None where its weights say it all."""
        if not self.decodes:
            return None
        assert self.target is not None
        return TiltLogitsProcessor(self.target, self.base.tokenizer.pad_token_id)

    def read(self, contexts: TokenContexts, *, with_target: bool = True) -> Iterator[Rows]:
        """Every position that counts, a block at a time, context after context.

        Args:
            contexts: where to read.
            with_target: whether the target's distribution is needed too.

        Raises:
            MeasurementError: logits that are not numbers.
        """
        batches = self._base_reader.batches(contexts)
        size = positions_at_once(self.base.model, ROWS)
        ahead = self._read_ahead(contexts, batches)
        for indices in batches:
            base_rows = model_rows = (
                ahead.pop(0) if ahead else self._base_reader.read(contexts, indices)
            )
            if not self.shares_body:
                model_rows = self._model_reader.read(contexts, indices)
            states = [self._states(contexts, i, with_target) for i in indices]
            for block in position_blocks([contexts.positions(i) for i in indices], size):
                base, model = self._logits(base_rows, model_rows, block)
                begin = 0
                for number, block_positions in block:
                    for positions in block_positions.split(_rows_handed_on(base)):
                        part = slice(begin, begin + len(positions))
                        begin = part.stop
                        yield self._made(
                            contexts,
                            indices[number],
                            positions,
                            states[number],
                            base[part],
                            model[part],
                        )

    def _logits(
        self,
        base_rows: Sequence[torch.Tensor],
        model_rows: Sequence[torch.Tensor],
        block: PositionBlock,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, V) logits of the base and of the model at a block of positions of a batch."""
        if self._model_reader is self._base_reader:
            logits = self._base_reader.logits_of(base_rows, block)
            return logits, logits
        base, model = self._base_reader.head, self._model_reader.head
        if self.shares_body and base is not None and model is not None and base.same_product(model):
            rows = rows_of(base_rows, block)
            with torch.no_grad():
                raw = base.raw(rows)
                return base.logits(rows, raw), model.logits(rows, raw)
        return (
            self._base_reader.logits_of(base_rows, block),
            self._model_reader.logits_of(model_rows, block),
        )

    def _read_ahead(
        self, contexts: TokenContexts, batches: list[list[int]]
    ) -> list[list[torch.Tensor]]:
        """The base's rows of all batches, where the two take turns in memory; else none.

        Without a head rows are logits, which are too many to be kept.
        """
        if not self.takes_turns or self._base_reader.head is None:
            return []
        return [self._base_reader.read(contexts, indices) for indices in batches]

    def _states(
        self, contexts: TokenContexts, index: int, with_target: bool
    ) -> Sequence[State] | None:
        """The target's state after each token of a context; None where it is not needed."""
        if self.target is None or not (with_target or self.decodes):
            return None
        return self.target.read(contexts.sequences[index].tolist())

    def _made(
        self,
        contexts: TokenContexts,
        index: int,
        positions: torch.Tensor,
        states_of_context: Sequence[State] | None,
        base_logits: torch.Tensor,
        model_logits: torch.Tensor,
    ) -> Rows:
        """What there is to know of some positions of one context, from (N, V) logits there."""
        states = None
        if states_of_context is not None:
            states = [states_of_context[p] for p in positions.tolist()]
        base = base_logits.log_softmax(-1)
        target = None
        if self.target is not None and states is not None:
            target = self.target.log_probs(base, states).to(base).expand_as(base)
        if self.decodes:
            assert target is not None
            model = target
        elif self._model_reader is self._base_reader:
            model = base
        else:
            model = model_logits.to(base.device).log_softmax(-1)
        for name, log_probs in (("base", base), ("model", model)):
            if bool(log_probs.isnan().any()):
                raise MeasurementError(
                    f"the {name}'s logits are not numbers, so nothing was measured",
                    fix="check its weights",
                )
        return Rows(
            index,
            positions,
            contexts.following(index)[positions],
            contexts.weights[index][positions],
            states,
            base,
            target,
            model,
        )


def _rows_handed_on(logits: torch.Tensor) -> int:
    """Positions to hand on at once; an accelerator takes a whole block."""
    return CACHED_ROWS if logits.device.type == "cpu" else len(logits)


def same_vocabulary(base: LoadedModel, model: LoadedModel) -> Vocabulary:
    """The vocabulary that two models share.

    Raises:
        VocabularyError: they do not share it.
    """
    first, second = base.vocabulary, model.vocabulary
    if first.fingerprint != second.fingerprint:
        raise VocabularyError(
            f"base and model have different tokens ({len(first):,} and {len(second):,}), "
            "so their probabilities cannot be compared",
            where="--against",
            fix="name the base that the model was made from",
        )
    return first
