"""Suspects that show log-probabilities of their likeliest tokens: a model here, or an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.endpoint import Endpoint, NoAnswerError
from tiltlm.auditing.logprobs.positions import Position, PositionReader, shuffled_positions
from tiltlm.auditing.logprobs.server_format import ServerFormat
from tiltlm.auditing.prompt_texts import as_text, sent_ids
from tiltlm.auditing.shifts.log_ratios import TOP_TOKENS
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ModelError, VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.pair import Pair

TOPS_TO_TRY = (TOP_TOKENS, 5)
"""Log-probabilities a position to ask for; each where the server refuses those before it."""


REPEATS = 4
"""Times that the same is asked, to see whether a server answers alike."""


_LEAST_KNOWN = 0.5
"""If the reference's vocabulary holds less than this share of a server's tokens, the suspect has
another vocabulary."""


@dataclass(frozen=True)
class TopLogProbs:
    """What a suspect shows at a position.

    Attributes:
        position: where.
        ids: (T,) its likeliest tokens.
        log_probs: (T,) of these, nats. What is not among them is censored, not zero.
    """

    position: Position
    ids: Array
    log_probs: Array


class LogprobSuspect(Protocol):
    """A suspect that shows log-probabilities."""

    top: int
    """Log-probabilities a position that it gives."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the audit should know of how the suspect was asked."""

    def positions(self, contexts: TokenContexts, count: int, seed: int = 0) -> list[Position]:
        """Positions that it can be asked at, in an order drawn at random.

        Args:
            contexts: of a pack, or in place of one.
            count: how many at most.
            seed: of the order.
        """

    def read(self, positions: Sequence[Position]) -> list[TopLogProbs]:
        """What it shows.

        Args:
            positions: some of those that `positions` gave; those where it failed are left out of
                the answer.

        Raises:
            ModelError: it failed everywhere.
            VocabularyError: its tokens are not the reference's.
        """

    def noise(self, position: Position) -> float | None:
        """Standard deviation, nats, of a log-probability when the same is asked again.

        Args:
            position: where to ask.

        Returns:
            None where that could not be seen.
        """


class LocalSuspect:
    """A model in this process, of which no more is used than a server would show.

    Args:
        pair: the suspect and its reference.
        top: log-probabilities a position.
    """

    def __init__(self, pair: Pair, top: int = TOP_TOKENS) -> None:
        self.top = top
        self.notes: list[str] = []
        self._pair = pair
        self._reader = LogitReader((pair.base if pair.decodes else pair.model).model)
        self._places = PositionReader(self._reader, [])

    def positions(self, contexts: TokenContexts, count: int, seed: int = 0) -> list[Position]:
        """As `LogprobSuspect.positions`; it can be asked at all of them."""
        chosen = shuffled_positions(contexts, seed)[:count]
        self._places = PositionReader(self._reader, chosen)
        return chosen

    def read(self, positions: Sequence[Position]) -> list[TopLogProbs]:
        """As `LogprobSuspect.read`; it fails nowhere."""
        log_probs = self._places.log_probs(positions)
        if self._pair.decodes:
            log_probs = self._decoded(positions, log_probs)
        shown = []
        for position, row in zip(positions, log_probs, strict=True):
            ids = np.argpartition(-row, self.top - 1)[: self.top]
            shown.append(TopLogProbs(position, ids, row[ids].astype(float)))
        return shown

    def noise(self, position: Position) -> float | None:
        """As `LogprobSuspect.noise`; 0, since the same computation gives the same numbers."""
        return 0.0

    def _decoded(self, positions: Sequence[Position], log_probs: Array) -> Array:
        """(N, V) log-probabilities of a suspect that decodes, from those of its weights."""
        assert self._pair.target is not None
        target = self._pair.target
        states = [target.read(position.ids)[-1] for position in positions]
        return np.asarray(target.logits(torch.from_numpy(log_probs), states).log_softmax(-1))


class EndpointSuspect:
    """A model behind a completions endpoint that gives ``logprobs``, one request a position.

    Args:
        endpoint: where it is.
        tokenizer: of the reference.
        vocabulary: of the reference.

    Raises:
        ModelError: it gives no log-probabilities, or no answer.
    """

    def __init__(
        self, endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
    ) -> None:
        self._endpoint, self._tokenizer = endpoint, tokenizer
        self._special = set(tokenizer.all_special_ids)
        self._format = ServerFormat(tokenizer, vocabulary)
        self._top_asked, self.top = self._probe()

    @property
    def notes(self) -> Sequence[str]:
        """As `LogprobSuspect.notes`: whether the server could be asked to look at all tokens."""
        return self._endpoint.notes

    def positions(self, contexts: TokenContexts, count: int, seed: int = 0) -> list[Position]:
        """As `LogprobSuspect.positions`: those whose text is cut into the same tokens again.

        A text is what is sent, so elsewhere the suspect would be asked about other tokens.
        """
        usable: list[Position] = []
        special = self._special
        for position in shuffled_positions(contexts, seed):
            own = position.ids[1:] if position.ids[0] in special else position.ids
            cut = None if special & set(own) else sent_ids(self._tokenizer, own)
            if cut is not None:
                usable.append(Position(position.row, position.context, cut))
            if len(usable) == count:
                break
        return usable

    def read(self, positions: Sequence[Position]) -> list[TopLogProbs]:
        """As `LogprobSuspect.read`."""
        shown = []
        prompts = [self._text(position.ids) for position in positions]
        for number, choice in self._endpoint.each(prompts, 1, 0, logprobs=self._top_asked):
            values = self._format.likeliest(choice)
            if values:
                ids = np.array(list(values), np.int64)
                log_probs = np.array(list(values.values()), float)
                shown.append(TopLogProbs(positions[number], ids, log_probs))
        self._check_vocabulary()
        return shown

    def noise(self, position: Position) -> float | None:
        """As `LogprobSuspect.noise`: pooled over the tokens that all answers show."""
        prompts = [self._text(position.ids)] * REPEATS
        choices = self._endpoint.each(prompts, 1, 0, logprobs=self._top_asked)
        answers = [choice.positions[0] for _, choice in choices if choice.positions]
        common = set.intersection(*map(set, answers)) if len(answers) > 1 else set()
        if not common:
            return None
        variances = [np.var([answer[token] for answer in answers], ddof=1) for token in common]
        return float(np.sqrt(np.mean(variances)))

    def _check_vocabulary(self) -> None:
        known, unknown = self._format.known, self._format.unknown
        if known < _LEAST_KNOWN * (known + unknown):
            names = ", ".join(repr(text) for text, _ in self._format.strangers.most_common(5))
            raise VocabularyError(
                f"of the tokens that the endpoint names the reference knows {known} and "
                f"not {unknown}, such as {names}",
                where="--endpoint",
                fix="name the reference that the suspect was made from",
            )

    def _probe(self) -> tuple[int, int]:
        """How many log-probabilities to ask for, and how many come."""
        refusal: NoAnswerError | None = None
        for top in TOPS_TO_TRY:
            try:
                choices = [c for _, c in self._endpoint.each(["\n"], 1, 0, logprobs=top)]
            except NoAnswerError as error:
                if not error.is_refusal:
                    raise
                refusal = error
                continue
            refusal = None
            tops = choices[0].positions
            if tops and len(tops[0]) > 1:
                # A token that was drawn is shown too, where it is not among the likeliest.
                return top, min(top, len(tops[0]))
        if refusal is not None:
            raise refusal
        raise ModelError(
            "the endpoint gives no log-probabilities, or one a position",
            where="--endpoint",
            fix="--access text, or a server that answers `logprobs`",
        )

    def _text(self, ids: list[int]) -> str:
        return as_text(self._tokenizer, ids)
