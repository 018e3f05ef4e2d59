"""What an answer of a completions endpoint may be; anything else is an error, never evidence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tiltlm.auditing.request_error import RequestError
from tiltlm.errors import ModelError

SMALLEST_LOG_PROB = -1e3
"""Nats: a value below it stands for minus infinity (vLLM writes −9999)."""


_LARGEST_LOG_PROB = 0.01
"""Nats: a value above it is no log-probability; rounding may take one a little above 0."""


_LARGEST_SUM = math.exp(_LARGEST_LOG_PROB)
"""Probabilities of tokens at one position that sum to more are none."""


_HALF_CHARACTER = "\ufffd"
"""What servers write for a token that is no text by itself; several tokens are written alike."""


_MOST_TOKENS = 1 << 31
"""No text has more tokens than this."""


_QUOTED_CHARACTERS = 200


def _possible(value: float | None) -> float | None:
    """A log-probability as it is.

    Raises:
        ValueError: it is none. Minus infinity is one.
    """
    if value is not None and not value <= _LARGEST_LOG_PROB:
        raise ValueError(f"{value:g} is no log-probability")
    return value


def _writable(text: str) -> str:
    """A text as it is.

    Raises:
        ValueError: it holds half of a surrogate pair, which JSON can write and UTF-8 cannot.
    """
    text.encode()
    return text


LogProb = Annotated[float | None, AfterValidator(_possible)]

Text = Annotated[str, AfterValidator(_writable)]


class _Part(BaseModel):
    """A part of an answer: no type is turned into another, what nobody reads may be anything."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Entry(_Part):
    """A token and its log-probability, as llama.cpp lists them."""

    id: int | None = Field(default=None, ge=0)
    token: Text | None = None
    logprob: LogProb = None

    @property
    def name(self) -> int | str | None:
        return self.token if self.id is None else self.id


class _Listed(_Part):
    """A position as llama.cpp writes it."""

    top_logprobs: list[_Entry] = []


class _LogProbs(_Part):
    """Log-probabilities, as OpenAI and vLLM write them or as llama.cpp does."""

    top_logprobs: list[dict[Text, LogProb] | None] | None = None
    content: list[_Listed] | None = None

    @property
    def positions(self) -> list[dict[int | str, float]]:
        if self.content is not None:
            return [_finite((e.name, e.logprob) for e in p.top_logprobs) for p in self.content]
        return [_finite((top or {}).items()) for top in self.top_logprobs or []]

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        for listed in self.content or []:
            names = [e.name for e in listed.top_logprobs if not _is_half(e.name)]
            if None in names:
                raise ValueError("a token has neither id nor text")
            if len(set(names)) < len(names):
                raise ValueError("a token is listed twice")
        for position in self.positions:
            total = math.fsum(map(math.exp, position.values()))
            if total > _LARGEST_SUM:
                raise ValueError(f"probabilities at one position sum to {total:.3g}")
        return self


class Usage(_Part):
    """How many tokens a server says that it read and wrote; None where it does not say.

    Attributes:
        prompt_tokens: of the prompt, with whatever the server put before it.
        completion_tokens: of the answer.
    """

    prompt_tokens: int | None = Field(default=None, ge=0, le=_MOST_TOKENS)
    completion_tokens: int | None = Field(default=None, ge=0, le=_MOST_TOKENS)


class Choice(_Part):
    """What a suspect wrote.

    Attributes:
        text: of it; empty where it refused.
        finish_reason: why it ended, ``"stop"`` at an end token.
        logprobs: at each position, if the server gives them.
        usage: tokens by the server's own count.
        model: that answered, as the server calls it; None where it does not say.
    """

    text: Text | None
    finish_reason: str | None = None
    logprobs: _LogProbs | None = None
    usage: Usage = Usage()
    model: Text | None = None

    @property
    def positions(self) -> list[dict[int | str, float]]:
        """Nats by token at each position, without those that are minus infinity.

        A token is its id where the server gives ids, else its text. Empty where there are no
        log-probabilities.
        """
        return [] if self.logprobs is None else self.logprobs.positions


class _Answer(_Part):
    choices: list[Choice] = Field(min_length=1, max_length=1)
    usage: Usage | None = None
    model: Text | None = None


def read_answer(body: bytes, length: int, top: int | None = None) -> Choice:
    """The one choice of an answer.

    Args:
        body: JSON as a server sent it.
        length: tokens that were asked for.
        top: log-probabilities that were asked for at each; None for none.

    Raises:
        RequestError: it is no JSON; it was cut off on the way, say.
        ModelError: it is JSON, but nothing that could be an answer: other types, more than one
            choice, more positions or tokens than were asked for, a token twice, or numbers that
            are no log-probabilities.
    """
    try:
        data = json.loads(body, object_pairs_hook=_unique, parse_constant=_constant)
    except _Impossible as error:
        raise _refused(str(error)) from None
    except (ValueError, RecursionError):
        raise RequestError("its answer is no JSON") from None
    try:
        answer = _Answer.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise _refused(f"{where}: {first['msg']}") from None
    said = {"usage": answer.usage or Usage(), "model": answer.model}
    choice = answer.choices[0].model_copy(update=said)
    positions = choice.positions
    if len(positions) > length:
        raise _refused(f"it has {len(positions):,} tokens where {length:,} were asked for")
    # A token that was drawn is shown too, where it is not among the likeliest.
    widest = max(map(len, positions), default=0)
    if top is not None and widest > top + 1:
        raise _refused(f"it shows {widest:,} tokens at a position where {top} were asked for")
    return choice


class _Impossible(Exception):  # noqa: N818  (caught where JSON is read, since it is no ValueError)
    """JSON that no server means."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that comes twice, one value would silently be lost."""
    data = dict(pairs)
    if len(data) < len(pairs):
        raise _Impossible("a name comes twice in one object")
    return data


def _constant(name: str) -> float:
    """Minus infinity, which some servers write though JSON has none; not the others."""
    if name != "-Infinity":
        raise _Impossible(f"{name} is no number")
    return -math.inf


def _is_half(name: int | str | None) -> bool:
    return isinstance(name, str) and _HALF_CHARACTER in name


def _finite(pairs: Iterable[tuple[int | str | None, float | None]]) -> dict[int | str, float]:
    """Log-probabilities by token, without null and minus infinity by any name."""
    return {
        name: value
        for name, value in pairs
        if name is not None and value is not None and value > SMALLEST_LOG_PROB
    }


def _refused(why: str) -> ModelError:
    return ModelError(
        f"the endpoint's answer cannot be one: {why[:_QUOTED_CHARACTERS]}",
        where="--endpoint",
        fix="see what it answers; nothing is judged by numbers that are impossible",
    )
