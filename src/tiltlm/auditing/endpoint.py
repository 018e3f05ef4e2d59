"""An OpenAI-compatible completions endpoint: asked prompt by prompt, given up in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2
from anyio.from_thread import start_blocking_portal

from tiltlm.auditing.answers import Choice, read_answer
from tiltlm.auditing.http import Poster
from tiltlm.auditing.request_error import RequestError
from tiltlm.errors import ModelError

PATIENCE = 3
"""Requests in a row that fail, each after its retries, before an endpoint is given up."""


AS_IT_IS = {"temperature": 1.0, "top_p": 1.0}
"""Options of the API with which a server draws from the model's distribution."""


UNFILTERED = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "repeat_penalty": 1.0,
    "return_tokens_as_token_ids": True,
}
"""Options beyond the API: vLLM and llama.cpp draw from fewer tokens unless these switch their
filters off. A server that refuses them is asked without."""


class NoAnswerError(ModelError):
    """An endpoint that answered no prompt.

    Args:
        reason: of the last failure, in one line.
        status: that the server gave then; None where it gave none.
    """

    def __init__(self, reason: str, status: int | None) -> None:
        super().__init__(
            f"the endpoint gave no answer: {reason}",
            where="--endpoint",
            fix="see whether it runs and serves this model",
        )
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether something else might be answered."""
        return self.status is not None and 400 <= self.status < 500


class Endpoint:
    """A model behind ``/v1/completions``.

    Args:
        url: such as ``http://127.0.0.1:8000/v1``; `Poster` says which key it is given.
        model: its name there.
        as_served: leave how it draws to the server, as for a client that asks for nothing.

    Attributes:
        filters_off: whether the server took requests to draw from all tokens; None before it was
            asked.

    Raises:
        ConfigError: this is no address.
    """

    def __init__(self, url: str, model: str, *, as_served: bool = False) -> None:
        self._poster = Poster(url.rstrip("/") + "/completions")
        self._model, self._as_served = model, as_served
        self._has_answered = False
        self.filters_off: bool | None = False if as_served else None

    @property
    def notes(self) -> list[str]:
        """What a reader of an audit should know of the server; empty if nothing."""
        if self._as_served:
            return ["How tokens are drawn was left to the server."]
        if self.filters_off:
            return []
        return [
            "The server could not be asked to switch its filters off (top-k, min-p, a penalty); "
            "where it has some, it does not draw from all tokens, and that looks like a tilt."
        ]

    def each(
        self, prompts: Sequence[str], length: int, seed: int, *, logprobs: int | None = None
    ) -> list[tuple[int, Choice]]:
        """Ask for one choice for each prompt, at temperature 1 unless that is left to the server.

        Args:
            prompts: one request each.
            length: tokens of each answer at most.
            seed: of the first; each further prompt's is one more.
            logprobs: log-probabilities to ask for at each position.

        Returns:
            choices with the number of their prompt. Prompts that failed after all retries are left
            out; after `PATIENCE` failures in a row all that follow are, and after the first if
            the endpoint has never answered.

        Raises:
            NoAnswerError: no answer came.
            ModelError: one came that cannot be one, or the endpoint says that none will come.
        """
        # A loop of its own: cancelling is what ends a request wherever it hangs.
        with start_blocking_portal() as portal:
            return portal.call(self._each, prompts, length, seed, logprobs)

    async def _each(
        self, prompts: Sequence[str], length: int, seed: int, logprobs: int | None
    ) -> list[tuple[int, Choice]]:
        choices: list[tuple[int, Choice]] = []
        last_failure, failures = RequestError("nothing was asked"), 0
        async with self._poster.client() as client:
            for number, prompt in enumerate(prompts):
                request = {
                    "model": self._model,
                    "prompt": prompt,
                    "max_tokens": length,
                    "seed": seed + number,
                    **({} if self._as_served else AS_IT_IS),
                    **({} if logprobs is None else {"logprobs": logprobs}),
                }
                try:
                    body = await self._post(client, request)
                    choices.append((number, read_answer(body, length, logprobs)))
                except RequestError as error:
                    last_failure = error
                    failures += 1
                    if failures == PATIENCE or not self._has_answered:
                        break
                    continue
                failures, self._has_answered = 0, True
        if not choices:
            raise NoAnswerError(str(last_failure), last_failure.status)
        return choices

    async def _post(self, client: httpx2.AsyncClient, request: dict[str, Any]) -> bytes:
        """One answer, by all tokens if the server can be asked for that."""
        if self.filters_off is not False:
            try:
                body = await self._poster.post(client, {**request, **UNFILTERED})
            except RequestError as error:
                # A server that took the options before refuses something else now.
                if error.status not in (400, 422) or self.filters_off:
                    raise
            else:
                self.filters_off = True
                return body
        body = await self._poster.post(client, request)
        self.filters_off = False
        return body
