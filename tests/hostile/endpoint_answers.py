"""Answers that a server might give, good ones and damaged ones, in each form that is read."""

import json
import math
from functools import cache

from hypothesis import strategies as st

from tests.tiny import tiny_loaded
from tiltlm.auditing.answers import read_answer
from tiltlm.auditing.logprobs.server_format import ServerFormat
from tiltlm.auditing.request_error import RequestError
from tiltlm.errors import ModelError

LENGTH, TOP = 3, 4
"""Tokens and log-probabilities that are asked for."""

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**30, 10**60),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "token_id:7", "token_id:²", "\x1b[31m", "�", "", [], {}, [[[]]]]),
)
"""Values that do not belong where they are put."""

NUMBER = st.one_of(st.floats(-20, 0), st.just(-9999.0), st.just(-math.inf), st.none(), ODD)
NAME = st.one_of(st.text(max_size=6), st.integers(0, 400).map("token_id:{}".format))
IDS = st.one_of(st.integers(0, 400), ODD)

NAMED = st.dictionaries(NAME, NUMBER, max_size=TOP + 2)
"""A position as OpenAI and vLLM write it."""

ENTRY = st.fixed_dictionaries({}, optional={"id": IDS, "token": NAME | ODD, "logprob": NUMBER})
LISTED = st.fixed_dictionaries(
    {}, optional={"top_logprobs": st.lists(ENTRY | ODD, max_size=TOP + 2)}
)
"""A position as llama.cpp writes it."""

LOGPROBS = st.one_of(
    st.none(),
    ODD,
    st.fixed_dictionaries({"top_logprobs": st.lists(NAMED, max_size=LENGTH + 1) | ODD}),
    st.fixed_dictionaries({"content": st.lists(LISTED | ODD, max_size=LENGTH + 1) | ODD}),
)

CHOICE = st.fixed_dictionaries(
    {"text": st.text(max_size=20) | ODD},
    optional={
        "finish_reason": st.sampled_from(["stop", "length", None]) | ODD,
        "logprobs": LOGPROBS,
    },
)

JSON = st.recursive(
    ODD, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def _damaged(body, cut, put):
    """The same with a byte sequence put in, or cut off there."""
    where = int(cut * len(body))
    return (
        body[:where]
        + (put if put is not None else b"")
        + (body[where:] if put is not None else b"")
    )


def good_answers():
    """Bodies of answers that are to be read: true distributions in each form."""
    weights = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=TOP)

    def body(values, form, rest):
        total = sum(values) + rest
        probs = [math.log(value / total) for value in values]
        if form == "content":
            tops = [{"id": i, "token": f"t{i}", "logprob": p} for i, p in enumerate(probs)]
            logprobs = {"content": [{"top_logprobs": tops}]}
        else:
            logprobs = {"top_logprobs": [{form.format(i): p for i, p in enumerate(probs)}]}
        return json.dumps({"choices": [{"text": "a", "logprobs": logprobs}]}).encode()

    forms = st.sampled_from(["content", "token_id:{}", "t{}"])
    return st.builds(body, weights, forms, st.floats(0, 1))


def answers():
    """Bodies of any kind, as bytes."""
    told = st.lists(CHOICE, max_size=2) | CHOICE.map(lambda choice: [choice])
    counts = st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), ODD)
    bodies = st.fixed_dictionaries({"choices": told | ODD}, optional={"usage": counts | ODD}) | JSON
    whole = bodies.map(lambda body: json.dumps(body).encode()) | good_answers()
    damaged = st.builds(_damaged, whole, st.floats(0, 1), st.none() | st.binary(max_size=4))
    deep = st.integers(1, 50_000).map(lambda depth: b'{"choices":' + b"[" * depth)
    return st.one_of(whole, damaged, st.binary(max_size=60), deep)


ANSWERS = answers()
"""Any body."""


@cache
def _format():
    loaded = tiny_loaded()
    return loaded.tokenizer, loaded.vocabulary


def read_answer_of_a_stranger(body):
    """What the audit reads of an answer; log-probabilities of each position by token.

    Raises:
        ModelError: it is none.
    """
    try:
        choice = read_answer(body, LENGTH, TOP)
    except RequestError as error:
        raise ModelError(str(error), where="--endpoint", fix="ask again") from None
    tokenizer, vocabulary = _format()
    ServerFormat(tokenizer, vocabulary).likeliest(choice)
    tokenizer(choice.text or "", add_special_tokens=False)
    return choice.positions
