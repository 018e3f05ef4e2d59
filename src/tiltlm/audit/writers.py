"""Suspects that are asked for text and nothing else: a model here, or one behind an endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from tiltlm.context_sources import first_token
from tiltlm.errors import ConfigError, ModelError
from tiltlm.models import LoadedModel
from tiltlm.sampling import SamplingOptions, sample

RETRIES, TIMEOUT = 4, 60.0
PATIENCE = 3
"""Requests in a row that fail, each after its retries, before an endpoint is given up."""


@dataclass(frozen=True)
class Answer:
    """What a suspect wrote.

    Attributes:
        prompt: token ids that were given to it.
        ids: that it wrote, as the reference's tokenizer cuts its text; empty where it refused.
    """

    prompt: list[int]
    ids: list[int]


class Writer(Protocol):
    """A suspect at temperature 1, over all tokens."""

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """``count`` answers of at most ``length`` tokens.

        Raises:
            ModelError: none came.
        """


class ModelWriter:
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


class EndpointWriter:
    """A model behind an OpenAI-compatible completions endpoint.

    Args:
        url: such as ``http://127.0.0.1:8000/v1``.
        model: its name there.
        tokenizer: the reference's, which cuts the answers.
        prompt: what every answer continues.

    Raises:
        ConfigError: the client is not installed.
    """

    def __init__(
        self, url: str, model: str, tokenizer: PreTrainedTokenizerBase, prompt: str = "\n"
    ) -> None:
        try:
            import openai
        except ImportError:
            raise ConfigError(
                "asking an endpoint takes the openai client",
                where="--endpoint",
                fix="pip install 'tiltlm[endpoint]'",
            ) from None
        self._errors: type[Exception] = openai.OpenAIError
        # The key is read from OPENAI_API_KEY; local servers take any.
        import os

        key = os.environ.get("OPENAI_API_KEY", "none")
        self._client: Any = openai.OpenAI(
            base_url=url, api_key=key, max_retries=RETRIES, timeout=TIMEOUT
        )
        self._model, self._tokenizer, self._prompt = model, tokenizer, prompt
        self._prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]

    def write(self, count: int, length: int, seed: int) -> list[Answer]:
        """One request each; those that fail after retries are left out."""
        found: list[Answer] = []
        last, failed = "", 0
        for number in range(count):
            try:
                answer = self._client.completions.create(
                    model=self._model,
                    prompt=self._prompt,
                    max_tokens=length,
                    temperature=1.0,
                    top_p=1.0,
                    seed=seed + number,
                )
                text = answer.choices[0].text or ""
            except (self._errors, ValueError, IndexError, AttributeError, TypeError) as error:
                last = str(error).strip().split("\n")[0][:200]
                failed += 1
                if failed == PATIENCE:
                    break
                continue
            failed = 0
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            found.append(Answer(list(self._prompt_ids), ids[:length]))
        if not found:
            raise ModelError(
                f"the endpoint gave no answer: {last}",
                where="--endpoint",
                fix="see whether it runs and serves this model",
            )
        return found
