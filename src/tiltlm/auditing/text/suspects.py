"""Suspects that are asked for text and nothing else: a model here, or one behind an endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from tiltlm.auditing.endpoint import Endpoint
from tiltlm.models.chat import first_token
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample

PROMPT = "\n"
"""What every answer of an endpoint continues; an empty prompt is refused by many."""


@dataclass(frozen=True)
class Answer:
    """What a suspect wrote.

    Attributes:
        prompt: token ids that were given to it.
        ids: that it wrote, as the reference's tokenizer cuts its text; empty where it refused.
    """

    prompt: list[int]
    ids: list[int]


class TextSuspect(Protocol):
    """A suspect at temperature 1, over all tokens."""

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """``count`` answers of at most ``length`` tokens.

        Raises:
            ModelError: none came.
        """


class LocalTextSuspect:
    """A model in this process; it writes from the beginning of a text.

    Args:
        loaded: the suspect.
        processor: where it decodes to a target.
    """

    def __init__(self, loaded: LoadedModel, processor: LogitsProcessor | None = None) -> None:
        self._loaded, self._processor = loaded, processor
        self._first = first_token(loaded.tokenizer)

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """Drawn together."""
        prompts = torch.full((count, 1), self._first)
        options = SamplingOptions(seed=seed)
        drawn = sample(
            self._loaded.model, prompts, length, options, processor=self._processor
        ).tolist()
        return [Answer([self._first], ids) for ids in drawn]


class EndpointTextSuspect:
    """A model behind an OpenAI-compatible completions endpoint.

    Args:
        endpoint: where it is.
        tokenizer: the reference's, which cuts the answers.
    """

    def __init__(self, endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase) -> None:
        self._endpoint, self._tokenizer = endpoint, tokenizer
        # As servers cut it: with whatever the tokenizer puts before a text.
        self._prompt_ids: list[int] = tokenizer(PROMPT)["input_ids"]

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """One request each; those that fail after retries are left out."""
        found = []
        end = self._tokenizer.eos_token_id
        for _, choice in self._endpoint.each([PROMPT] * count, length, seed):
            ids = self._tokenizer(choice.text or "", add_special_tokens=False)["input_ids"][:length]
            # That a text ended was a draw too, and it is not in the text.
            if ids and len(ids) < length and choice.finish_reason == "stop" and end is not None:
                ids.append(end)
            found.append(Answer(list(self._prompt_ids), ids))
        return found
