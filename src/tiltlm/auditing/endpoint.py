"""An OpenAI-compatible completions endpoint: asked again where it fails, given up in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tiltlm.errors import ConfigError, ModelError

RETRIES, TIMEOUT = 4, 60.0


PATIENCE = 3
"""Requests in a row that fail, each after its retries, before an endpoint is given up."""


UNFILTERED = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "repeat_penalty": 1.0,
    "return_tokens_as_token_ids": True,
}
"""What vLLM and llama.cpp are asked besides, which draw from fewer tokens where they are not; a
server that refuses it is asked without."""


class Endpoint:
    """A model behind ``/v1/completions``.

    Args:
        url: such as ``http://127.0.0.1:8000/v1``.
        model: its name there.

    Raises:
        ConfigError: the client is not installed.
    """

    def __init__(self, url: str, model: str) -> None:
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
        key = os.environ.get("OPENAI_API_KEY", "none")
        self._client: Any = openai.OpenAI(
            base_url=url, api_key=key, max_retries=RETRIES, timeout=TIMEOUT
        )
        self._refusal: type[Exception] = openai.BadRequestError
        self._model = model
        self.filters_off: bool | None = None
        """Whether the server took requests to draw from all tokens; None before it was asked."""

    @property
    def notes(self) -> list[str]:
        """What a reader should know of it."""
        if self.filters_off:
            return []
        return [
            "The server could not be asked to switch its filters off (top-k, min-p, a penalty); "
            "where it has some, it does not draw from all tokens, and that looks like a tilt."
        ]

    def each(
        self, prompts: Sequence[str], length: int, seed: int, **more: Any
    ) -> list[tuple[int, Any]]:
        """A choice for each prompt, with its number; those that fail after retries are left out.

        Args:
            prompts: a request each.
            length: tokens of each answer at most.
            seed: of the first.
            more: options of the API beside temperature 1 and top-p 1.

        Raises:
            ModelError: none came.
        """
        found: list[tuple[int, Any]] = []
        last, failed = "", 0
        for number, prompt in enumerate(prompts):
            options = {"temperature": 1.0, "top_p": 1.0, "seed": seed + number, **more}
            asked = {"model": self._model, "prompt": prompt, "max_tokens": length, **options}
            try:
                found.append((number, self._choice(asked)))
            except (self._errors, ValueError, IndexError, AttributeError, TypeError) as error:
                last = str(error).strip().split("\n")[0][:200]
                failed += 1
                if failed == PATIENCE:
                    break
                continue
            failed = 0
        if not found:
            raise ModelError(
                f"the endpoint gave no answer: {last}",
                where="--endpoint",
                fix="see whether it runs and serves this model",
            )
        return found

    def _choice(self, asked: dict[str, Any]) -> Any:
        if self.filters_off is not False:
            try:
                answer = self._client.completions.create(**asked, extra_body=UNFILTERED)
                self.filters_off = True
                return _first(answer)
            except self._refusal:
                if self.filters_off:  # it took them before, so it is something else
                    raise
        answer = self._client.completions.create(**asked)
        self.filters_off = False
        return _first(answer)


def _first(answer: Any) -> Any:
    choice = answer.choices[0]
    _ = choice.text, choice.logprobs  # not there in a damaged answer
    return choice
