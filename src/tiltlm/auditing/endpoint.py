"""An OpenAI-compatible completions endpoint: asked again where it fails, given up in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tiltlm.errors import ConfigError, ModelError

RETRIES, TIMEOUT_SECONDS = 4, 60.0
"""Times that a request is sent again, and how long an answer may take."""


PATIENCE = 3
"""Requests in a row that fail, each after its retries, before an endpoint is given up."""


UNFILTERED = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "repeat_penalty": 1.0,
    "return_tokens_as_token_ids": True,
}
"""Options beyond the API: vLLM and llama.cpp draw from fewer tokens unless these switch their
filters off. A server that refuses them is asked without."""


class Endpoint:
    """A model behind ``/v1/completions``.

    The key is read from the environment variable OPENAI_API_KEY; local servers take any.

    Args:
        url: such as ``http://127.0.0.1:8000/v1``.
        model: its name there.

    Attributes:
        filters_off: whether the server took requests to draw from all tokens; None before it was
            asked.

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
        self._refusal: type[Exception] = openai.BadRequestError
        self._client: Any = openai.OpenAI(
            base_url=url,
            api_key=os.environ.get("OPENAI_API_KEY", "none"),
            max_retries=RETRIES,
            timeout=TIMEOUT_SECONDS,
        )
        self._model = model
        self.filters_off: bool | None = None

    @property
    def notes(self) -> list[str]:
        """What a reader of an audit should know of the server; empty if nothing."""
        if self.filters_off:
            return []
        return [
            "The server could not be asked to switch its filters off (top-k, min-p, a penalty); "
            "where it has some, it does not draw from all tokens, and that looks like a tilt."
        ]

    def each(
        self, prompts: Sequence[str], length: int, seed: int, **options: Any
    ) -> list[tuple[int, Any]]:
        """Ask for one choice for each prompt, at temperature 1.

        Args:
            prompts: one request each.
            length: tokens of each answer at most.
            seed: of the first; each further prompt's is one more.
            options: of the API, besides temperature, top-p and the seed.

        Returns:
            choices with the number of their prompt. Prompts that failed after all retries are left
            out; after `PATIENCE` failures in a row all that follow are.

        Raises:
            ModelError: no answer came.
        """
        choices: list[tuple[int, Any]] = []
        last_failure, failures = "", 0
        for number, prompt in enumerate(prompts):
            request = {
                "model": self._model,
                "prompt": prompt,
                "max_tokens": length,
                "temperature": 1.0,
                "top_p": 1.0,
                "seed": seed + number,
                **options,
            }
            try:
                choices.append((number, self._choice(request)))
            except (self._errors, ValueError, IndexError, AttributeError, TypeError) as error:
                last_failure = str(error).strip().split("\n")[0][:200]
                failures += 1
                if failures == PATIENCE:
                    break
                continue
            failures = 0
        if not choices:
            raise ModelError(
                f"the endpoint gave no answer: {last_failure}",
                where="--endpoint",
                fix="see whether it runs and serves this model",
            )
        return choices

    def _choice(self, request: dict[str, Any]) -> Any:
        """The first choice of one answer, by all tokens if the server can be asked for that."""
        if self.filters_off is not False:
            try:
                answer = self._client.completions.create(**request, extra_body=UNFILTERED)
                self.filters_off = True
                return _first(answer)
            except self._refusal:
                # A server that took the options before refuses something else now.
                if self.filters_off:
                    raise
        answer = self._client.completions.create(**request)
        self.filters_off = False
        return _first(answer)


def _first(answer: Any) -> Any:
    choice = answer.choices[0]
    # A damaged answer lacks these, which should count as a failed request.
    _ = choice.text, choice.logprobs
    return choice
