"""Suspects that show the log-probabilities of their likeliest tokens: here, or at an endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from transformers import PreTrainedTokenizerBase

from tiltlm.audit.endpoint import Endpoint
from tiltlm.audit.filters import Array
from tiltlm.audit.shift import TOP
from tiltlm.audit.shown import Shown, entries
from tiltlm.audit.writers import ModelWriter
from tiltlm.contexts import TokenContexts, collate
from tiltlm.errors import ModelError, VocabularyError
from tiltlm.measures.pair import Pair, Reader, batches_of
from tiltlm.vocabulary import Vocabulary

ASKED = (TOP, 5)
"""Log-probabilities a position to ask for, the next where the server refuses the first."""

REPEATS = 4
"""Times that the same is asked, to see whether a server answers alike."""

_KNOWN = 0.5
"""Less than this share of a server's tokens in the reference's vocabulary: it has another."""


@dataclass(frozen=True)
class Observed:
    """One answer, and what the suspect thought at each of its tokens.

    Attributes:
        prompt: token ids that were given to it.
        ids: that it wrote; shorter than what it wrote where a token could not be told.
        top_ids: at each of ``ids``, its likeliest tokens.
        top_log_probs: of these. What is not among them is censored, not zero.
    """

    prompt: list[int]
    ids: list[int]
    top_ids: list[Array]
    top_log_probs: list[Array]


class Observer(Protocol):
    """A suspect at temperature 1."""

    top: int
    """Log-probabilities a position that it gives."""

    def observe(self, count: int, length: int, seed: int) -> list[Observed]:
        """``count`` answers of at most ``length`` tokens.

        Raises:
            TiltError: none came, or none with log-probabilities.
        """

    def noise(self) -> float | None:
        """Standard deviation, nats, of a log-probability when the same is asked again."""


class ModelObserver:
    """A model in this process, of which no more is used than a server would show.

    Args:
        pair: the suspect and its reference.
        top: log-probabilities a position.
    """

    def __init__(self, pair: Pair, top: int = ASKED[0]) -> None:
        self.top = top
        self._pair = pair
        loaded = pair.base if pair.decodes else pair.model
        self._reader = Reader(loaded.model)
        self._writer = ModelWriter(loaded, pair.processor)

    def observe(self, count: int, length: int, seed: int) -> list[Observed]:
        """Drawn together, then read."""
        found = []
        answers = [a for a in self._writer.write(count, length, seed) if a.ids]
        texts = [[*a.prompt, *a.ids] for a in answers]
        for index, logits in logits_of_answers(
            self._reader, texts, [len(a.prompt) for a in answers]
        ):
            if self._pair.decodes:
                assert self._pair.target is not None
                states = self._pair.target.read(texts[index])
                begin = len(answers[index].prompt) - 1
                logits = self._pair.target.logits(logits, states[begin : begin + len(logits)])
            top = logits.log_softmax(-1).topk(min(self.top, logits.shape[-1]))
            found.append(
                Observed(
                    answers[index].prompt,
                    answers[index].ids,
                    list(top.indices.cpu().numpy()),
                    list(top.values.double().cpu().numpy()),
                )
            )
        return found

    def noise(self) -> float | None:
        """Nothing is sent anywhere."""
        return 0.0


def logits_of_answers(reader: Reader, texts: list[list[int]], begins: list[int]) -> Any:
    """For each answer its number and the (N, V) logits at the positions that its tokens follow.

    Args:
        reader: of a model.
        texts: prompt and answer.
        begins: how long each prompt is.
    """
    contexts = TokenContexts(texts, "answers")
    for indices in batches_of(contexts):
        batch = collate([contexts[i] for i in indices])
        rows = reader.rows(batch["input_ids"], batch["attention_mask"])
        for index, row in zip(indices, rows, strict=True):
            yield index, reader.logits(row[begins[index] - 1 : len(texts[index]) - 1])


class EndpointObserver:
    """A model behind a completions endpoint that gives ``logprobs``.

    Args:
        endpoint: where it is.
        tokenizer: the reference's.
        vocabulary: the reference's; of tokens that are written alike none can be told.

    Raises:
        ModelError: it gives no log-probabilities.
    """

    def __init__(
        self, endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
    ) -> None:
        self._endpoint = endpoint
        self._prompt_ids = endpoint.prompt_ids(tokenizer)
        self._shown = Shown(tokenizer, vocabulary)
        self._asked, self.top = self._probe()

    @property
    def notes(self) -> list[str]:
        """What a reader should know of this endpoint."""
        return self._endpoint.notes

    def observe(self, count: int, length: int, seed: int) -> list[Observed]:
        """One request each."""
        choices = self._endpoint.ask(count, length, seed, logprobs=self._asked)
        found = [self._read(choice) for choice in choices]
        told = self._shown
        if told.known < _KNOWN * (told.known + told.unknown):
            shown = ", ".join(repr(text) for text, _ in told.strangers.most_common(5))
            raise VocabularyError(
                f"of the tokens that the endpoint names the reference knows "
                f"{told.known} and not {told.unknown}, such as {shown}",
                where="--endpoint",
                fix="name the reference that the suspect was made from",
            )
        return found

    def noise(self) -> float | None:
        """Of the first token's log-probabilities."""
        choices = self._endpoint.ask(REPEATS, 1, 0, logprobs=self._asked)
        seen = [shown[0][1] for shown in map(entries, choices) if shown]
        common = set.intersection(*map(set, seen)) if len(seen) > 1 else set()
        if not common:
            return None
        return float(np.sqrt(np.mean([np.var([s[t] for s in seen], ddof=1) for t in common])))

    def _probe(self) -> tuple[int, int]:
        """How many log-probabilities to ask for, and how many come."""
        last: ModelError | None = None
        for asked in ASKED:
            try:
                choices = self._endpoint.ask(1, 1, 0, logprobs=asked)
            except ModelError as error:
                last = error
                continue
            last = None
            shown = entries(choices[0])
            if shown and len(shown[0][1]) > 1:
                # The token written is shown besides, where it is not among the likeliest.
                return asked, min(asked, len(shown[0][1]))
        if last is not None:
            raise last
        raise ModelError(
            "the endpoint gives no log-probabilities, or one a position",
            where="--endpoint",
            fix="--access text, or a server that answers `logprobs`",
        )

    def _read(self, choice: Any) -> Observed:
        found = Observed(list(self._prompt_ids), [], [], [])
        for written, told in self._shown.positions(choice):
            if written is None:
                break  # what follows has a context that the reference cannot be given
            found.ids.append(written)
            found.top_ids.append(np.array(list(told), np.int64))
            found.top_log_probs.append(np.array(list(told.values()), float))
        return found
