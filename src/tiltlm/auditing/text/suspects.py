"""Suspects that are asked for text and nothing else: a model here, or one behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from tiltlm.auditing.answers import Choice
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.text.server_checks import PROBES, AnswerChecks, check_prompts
from tiltlm.defaults import ANSWERS_AT_ONCE, ANSWERS_TOGETHER
from tiltlm.models.chat import first_token
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample

PROMPT = PROBES[0]
"""What every answer of an endpoint continues; many servers refuse an empty prompt."""


@dataclass(frozen=True)
class Answer:
    """What a suspect wrote.

    Attributes:
        prompt: token ids that were given to it.
        ids: token ids that it wrote, as the reference's tokenizer cuts its text; empty where it
            refused.
    """

    prompt: list[int]
    ids: list[int]


class TextSuspect(Protocol):
    """A suspect that writes at temperature 1, drawing from all tokens.

    Attributes:
        prompt_tokens: that every answer begins after.
        most_at_once: answers that are best asked for together at most.
        is_served: whether a server draws, so that how it draws has to be seen.
    """

    prompt_tokens: int
    most_at_once: int
    is_served: bool

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the audit should know of how the suspect was asked."""

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """Answers drawn one independently of the other.

        Args:
            count: how many to ask for; fewer may come.
            length: tokens of each at most.
            seed: of the draws.

        Raises:
            ModelError: none came.
        """


class LocalTextSuspect:
    """A model in this process; it writes from the beginning of a text.

    Args:
        loaded: the suspect.
        processor: of a suspect that decodes to a target.
        first: the token that every answer begins after; by default the one that the suspect's own
            tokenizer begins texts with.
    """

    prompt_tokens = 1
    most_at_once = ANSWERS_TOGETHER
    is_served = False

    def __init__(
        self,
        loaded: LoadedModel,
        processor: LogitsProcessor | None = None,
        first: int | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._loaded, self._processor = loaded, processor
        self._first = first_token(loaded.tokenizer) if first is None else first

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """As `TextSuspect.write`; all answers are drawn together, and every one comes."""
        prompts = torch.full((count, 1), self._first)
        options = SamplingOptions(seed=seed)
        drawn = sample(
            self._loaded.model, prompts, length, options, processor=self._processor
        ).tolist()
        return [Answer([self._first], ids) for ids in drawn]


class EndpointTextSuspect:
    """A model behind an OpenAI-compatible completions endpoint.

    Args:
        endpoint: where it is. It is asked how many tokens it reads in a few texts.
        tokenizer: of the reference, which cuts the answers.

    Raises:
        ModelError: it does not read texts as they are sent, or answers nothing.
        VocabularyError: it cuts them into other tokens.
    """

    most_at_once = ANSWERS_AT_ONCE
    is_served = True

    def __init__(self, endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase) -> None:
        self._endpoint, self._tokenizer = endpoint, tokenizer
        self._longest = max(map(len, tokenizer.get_vocab()))
        # Servers too cut a prompt with whatever the tokenizer puts before a text.
        self._prompt_ids: list[int] = tokenizer(PROMPT)["input_ids"]
        self.prompt_tokens = len(self._prompt_ids)
        self._prompt_notes = check_prompts(endpoint, tokenizer)
        self._checks = AnswerChecks()

    @property
    def notes(self) -> Sequence[str]:
        """As `TextSuspect.notes`: how the server reads and draws, as far as that can be seen."""
        return [*self._endpoint.notes, *self._prompt_notes, *self._checks.notes]

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """As `TextSuspect.write`; one request each, without those that fail after retries."""
        choices = [choice for _, choice in self._endpoint.each([PROMPT] * count, length, seed)]
        cut = [self._cut(choice, length) for choice in choices]
        self._checks.look(choices, [len(ids) for ids in cut])
        return [Answer(list(self._prompt_ids), ids[:length]) for ids in cut]

    def _cut(self, choice: Choice, length: int) -> list[int]:
        """Token ids of an answer; more than ``length`` where its text is longer than that."""
        # Of text that is longer than was asked for, only what could be so many tokens is read.
        text = (choice.text or "")[: (length + 1) * self._longest]
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        # That a text ended was a draw too, be it at once, and the end token is not in the text.
        end = self._tokenizer.eos_token_id
        if len(ids) < length and choice.finish_reason == "stop" and end is not None:
            ids.append(end)
        return ids
