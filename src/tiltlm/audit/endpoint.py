"""An OpenAI-compatible completions endpoint: asked again where it fails, given up in the end."""

from __future__ import annotations

import os
from typing import Any

from tiltlm.errors import ConfigError, ModelError

RETRIES, TIMEOUT = 4, 60.0
PATIENCE = 3
"""Requests in a row that fail, each after its retries, before an endpoint is given up."""


class Endpoint:
    """A model behind ``/v1/completions``.

    Args:
        url: such as ``http://127.0.0.1:8000/v1``.
        model: its name there.
        prompt: what every answer continues.

    Raises:
        ConfigError: the client is not installed.
    """

    def __init__(self, url: str, model: str, prompt: str = "\n") -> None:
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
        self.model, self.prompt = model, prompt

    def ask(self, count: int, length: int, seed: int, **more: Any) -> list[Any]:
        """Choices, one request each; those that fail after retries are left out.

        Args:
            count: of requests.
            length: tokens of each at most.
            seed: of the first.
            more: options of the API beside temperature 1 and top-p 1.

        Raises:
            ModelError: none came.
        """
        found: list[Any] = []
        last, failed = "", 0
        for number in range(count):
            options = {"temperature": 1.0, "top_p": 1.0, "seed": seed + number, **more}
            try:
                answer = self._client.completions.create(
                    model=self.model, prompt=self.prompt, max_tokens=length, **options
                )
                choice = answer.choices[0]
                _ = choice.text  # not there in a damaged answer
                found.append(choice)
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
