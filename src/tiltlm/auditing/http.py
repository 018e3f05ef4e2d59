"""One request to a server of somebody else: a deadline, a limit of size, and never another host."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import httpx2

from tiltlm.auditing.request_error import RequestError
from tiltlm.errors import ConfigError, ModelError

DEADLINE_SECONDS = 120.0
"""How long one prompt may take, with all that is tried again and all pauses in between."""


SILENCE_SECONDS = 60.0
"""How long a server may send nothing before a request is tried again."""


LARGEST_ANSWER_BYTES = 1 << 20
"""The most that is read of an answer; those of real servers have some thousand bytes."""


RETRIES, FIRST_PAUSE_SECONDS = 4, 0.5
"""Times that a request is sent again, and the pause before the first; each is twice the last."""


LONGEST_PAUSE_SECONDS = 60.0
"""A server that asks for a longer pause (Retry-After) is not asked again."""


REDIRECTS = 3
"""How often a request may be sent on, to the same host alone."""


KEY, OPENAI_KEY, OPENAI_HOST = "TILTLM_ENDPOINT_KEY", "OPENAI_API_KEY", "api.openai.com"
"""Environment variables with keys, and the one host that is given the second of them."""


_TRY_AGAIN = frozenset({408, 409, 425, 429})
"""Statuses that may be others a moment later, besides those from 500 on."""


_QUOTED_CHARACTERS = 200


@dataclass(frozen=True)
class _Reply:
    """What a server sent: a status, its Retry-After in seconds if it gave one, and a body."""

    status: int
    pause: float | None
    body: bytes


class Poster:
    """Sends JSON to one address.

    A key is sent where it is meant to go: that of ``TILTLM_ENDPOINT_KEY`` to whatever endpoint
    is named, that of ``OPENAI_API_KEY`` to api.openai.com alone.

    Args:
        url: of the address.

    Raises:
        ConfigError: this is no address.
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = httpx2.URL(url)
        except (httpx2.InvalidURL, UnicodeError):
            self._url = httpx2.URL("")
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ConfigError(
                f"{url[:_QUOTED_CHARACTERS]!r} is no address of a server",
                where="--endpoint",
                fix="give one such as http://127.0.0.1:8000/v1",
            )
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key := _key_for(self._url.host):
            self._headers["Authorization"] = f"Bearer {key}"

    def client(self) -> httpx2.AsyncClient:
        """A client for some requests, which has to be entered."""
        return httpx2.AsyncClient(
            headers=self._headers, timeout=SILENCE_SECONDS, follow_redirects=False
        )

    async def post(self, client: httpx2.AsyncClient, data: Mapping[str, Any]) -> bytes:
        """Send JSON, again where that may help, and read what comes back.

        Args:
            client: that `client` made.
            data: what is sent.

        Returns:
            the body of the answer.

        Raises:
            RequestError: it was refused, or not answered before the deadline, or the answer is
                larger than `LARGEST_ANSWER_BYTES`.
            ModelError: it will not be answered to anybody: the key is not taken, the server
                sends to another host, or asks for too long a pause.
        """
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                return await self._insist(client, data)
        except TimeoutError:
            raise RequestError(f"no answer within {DEADLINE_SECONDS:g} s") from None

    async def _insist(self, client: httpx2.AsyncClient, data: Mapping[str, Any]) -> bytes:
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(RETRIES + 1):
            reply = None
            try:
                reply = await self._follow(client, data)
                failure = _failure(reply)
            except httpx2.HTTPError as error:
                failure = RequestError(str(error) or type(error).__name__)
            if failure is None:
                assert reply is not None
                return reply.body
            refused = reply is not None and reply.status < 500 and reply.status not in _TRY_AGAIN
            if refused or attempt == RETRIES:
                raise failure
            asked = reply.pause if reply is not None else None
            if asked is not None and asked > LONGEST_PAUSE_SECONDS:
                raise _fatal(
                    f"the endpoint asks to be left alone for {asked:,.0f} s (Retry-After); no "
                    f"more than {LONGEST_PAUSE_SECONDS:g} s are waited",
                    "ask it again later",
                )
            await anyio.sleep(pause if asked is None else asked)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _follow(self, client: httpx2.AsyncClient, data: Mapping[str, Any]) -> _Reply:
        """Send once, and on to other addresses of the same host."""
        request = client.build_request("POST", self._url, content=json.dumps(data).encode())
        request.headers["Content-Type"] = "application/json"
        for _ in range(REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
            if response.next_request is None:
                return _Reply(response.status_code, _pause(response.headers), body)
            request = response.next_request
            if request.url.origin != self._url.origin:
                raise _fatal(
                    f"the endpoint sends requests on to another host, {request.url.host!r}, which "
                    "is not asked",
                    "name that address if it is to be trusted",
                )
        raise RequestError(f"it sends requests on more than {REDIRECTS} times")


def _key_for(host: str) -> str | None:
    """The key that a host is given; None where there is none for it."""
    own = os.environ.get(KEY)
    return own or (os.environ.get(OPENAI_KEY) if host == OPENAI_HOST else None)


async def _read(response: httpx2.Response) -> bytes:
    """A body as it was sent, never unpacked.

    Raises:
        RequestError: it is larger than `LARGEST_ANSWER_BYTES`.
    """
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > LARGEST_ANSWER_BYTES:
            raise RequestError(
                f"its answer is larger than {LARGEST_ANSWER_BYTES:,} bytes", response.status_code
            )
    return bytes(body)


def _failure(reply: _Reply) -> RequestError | None:
    """Why a reply is no answer; None if it is one.

    Raises:
        ModelError: the key is not taken.
    """
    if 200 <= reply.status < 300:
        return None
    said = reply.body.decode("utf-8", "replace").strip().split("\n")[0][:_QUOTED_CHARACTERS]
    reason = f"status {reply.status}" + (f", {said!r}" if said else "")
    if reply.status in (401, 403):
        raise _fatal(
            f"the endpoint does not take the key ({reason})",
            f"put a key that it takes into the environment variable {KEY}",
        )
    return RequestError(reason, reply.status)


def _pause(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to be left alone for; None where it asks for none."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)


def _fatal(what: str, fix: str) -> ModelError:
    return ModelError(what, where="--endpoint", fix=fix)
