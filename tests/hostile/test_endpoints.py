"""Servers that mean harm: none takes longer, or more memory, or a key, or is believed nonsense."""

import gzip
import json
import math
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings

from tests.hostile import server as hostile
from tests.hostile.endpoint_answers import ANSWERS, good_answers, read_answer_of_a_stranger
from tests.hostile.fuzzing import door
from tests.hostile.server import HostileServer, completion
from tests.tiny import tiny_loaded
from tiltlm.auditing import http
from tiltlm.auditing.answers import read_answer
from tiltlm.auditing.endpoint import Endpoint, NoAnswerError
from tiltlm.auditing.logprobs.server_format import ServerFormat
from tiltlm.auditing.logprobs.suspects import EndpointSuspect
from tiltlm.auditing.text.suspects import EndpointTextSuspect
from tiltlm.errors import ConfigError, ModelError, TiltError
from tiltlm.models.gpt2 import gpt2_tokenizer

DEADLINE = 0.4


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 20.0)
    monkeypatch.setattr(http, "FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def deadline(monkeypatch):
    monkeypatch.setattr(http, "DEADLINE_SECONDS", DEADLINE)


def ask(server, prompts=1, **options):
    return Endpoint(server.url, "m").each(["\n"] * prompts, 4, 0, **options)


def test_a_good_server_is_answered_by():
    with HostileServer(lambda h: h.answer(completion(" yes"))) as server:
        choices = ask(server, 3)
    assert [(number, choice.text) for number, choice in choices] == [
        (0, " yes"),
        (1, " yes"),
        (2, " yes"),
    ]


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_body_without_end_is_left_at_the_limit(status):
    with (
        HostileServer(lambda h: hostile.endless(h, status)) as server,
        pytest.raises(ModelError, match="larger than 1,048,576 bytes"),
    ):
        ask(server)
    # What the limit allows, and what lies in the buffers of two sockets, for each request.
    assert server.sent < 12 * len(server.requests) * http.LARGEST_ANSWER_BYTES


def test_a_packed_body_is_not_unpacked():
    bomb = gzip.compress(bytes(100 << 20))
    with (
        HostileServer(lambda h: h.answer(bomb, Content_Encoding="gzip")) as server,
        pytest.raises(ModelError, match="no JSON"),
    ):
        ask(server)
    assert server.requests[0][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "behave",
    [hostile.dripping, hostile.dripping_head, hostile.silent, hostile.endless_continue],
)
def test_a_server_that_takes_its_time_is_left_at_the_deadline(deadline, behave):
    begun = time.monotonic()
    with (
        HostileServer(behave) as server,
        pytest.raises(NoAnswerError, match=r"no answer within 0\.4 s"),
    ):
        ask(server, 5)
    # One that never answered is given up after the first prompt.
    assert time.monotonic() - begun < 4 * DEADLINE


def test_one_that_stops_answering_is_given_up_after_three_and_what_came_is_kept(deadline):
    def behave(handler):
        if handler.asked["seed"] < 2:
            handler.answer(completion())
        else:
            hostile.silent(handler)

    begun = time.monotonic()
    with HostileServer(behave) as server:
        assert len(ask(server, 9)) == 2
    assert time.monotonic() - begun < 6 * DEADLINE


def test_an_interrupt_does_not_wait_for_the_server():
    begun = time.monotonic()
    with HostileServer(hostile.silent) as server:
        threading.Timer(
            0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
        ).start()
        with pytest.raises(KeyboardInterrupt):
            ask(server)
    assert time.monotonic() - begun < 2


def test_another_host_is_never_asked_and_gets_no_key(monkeypatch):
    monkeypatch.setenv("TILTLM_ENDPOINT_KEY", "secret")
    with HostileServer(lambda h: h.answer(completion())) as other:

        def behave(handler):
            handler.answer(b"", 307, Location=f"{other.url}/completions")

        with (
            HostileServer(behave) as server,
            pytest.raises(ModelError, match=r"another host, '127\.0\.0\.1'"),
        ):
            ask(server)
    assert other.requests == []
    assert server.requests[0][2]["Authorization"] == "Bearer secret"


def test_redirects_to_the_same_host_are_followed_and_loops_end():
    def once(handler):
        if handler.path == "/v1/completions":
            handler.answer(b"", 308, Location="/v1/completions/")
        else:
            handler.answer(completion())

    with HostileServer(once) as server:
        assert len(ask(server)) == 1
    with (
        HostileServer(lambda h: h.answer(b"", 307, Location=h.path)) as server,
        pytest.raises(NoAnswerError, match="more than 3 times"),
    ):
        ask(server)
    assert len(server.requests) == http.REDIRECTS + 1


@pytest.mark.parametrize(
    ("host", "environment", "key"),
    [
        ("example.org", {"OPENAI_API_KEY": "o"}, None),
        ("api.openai.com.example.org", {"OPENAI_API_KEY": "o"}, None),
        ("api.openai.com", {"OPENAI_API_KEY": "o"}, "o"),
        ("example.org", {"OPENAI_API_KEY": "o", "TILTLM_ENDPOINT_KEY": "t"}, "t"),
        ("example.org", {}, None),
    ],
)
def test_the_key_of_openai_is_sent_to_openai_alone(monkeypatch, host, environment, key):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    headers = http.Poster(f"https://{host}/v1/completions").client().headers
    assert headers.get("Authorization") == (f"Bearer {key}" if key else None)


IN_A_DAY = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


@pytest.mark.parametrize(
    "pause",
    ["86400", "1e300", "inf", IN_A_DAY],
    ids=["a day", "for ever", "without end", "till tomorrow"],
)
def test_a_pause_of_a_day_is_not_waited_and_said(pause):
    begun = time.monotonic()
    with (
        HostileServer(lambda h: h.answer(b"", 429, Retry_After=pause)) as server,
        pytest.raises(ModelError, match=r"left alone for .* s \(Retry-After\)"),
    ):
        ask(server)
    assert time.monotonic() - begun < 5
    assert len(server.requests) == 1


@pytest.mark.parametrize("pause", ["0", "-5", "nan", "soon", "", "Thu, 99 Foo"])
def test_a_pause_that_is_none_is_no_trouble(pause):
    def behave(handler):
        if len(server.requests) < 3:
            handler.answer(b"", 503, Retry_After=pause)
        else:
            handler.answer(completion())

    with HostileServer(behave) as server:
        assert len(ask(server)) == 1


@pytest.mark.parametrize(
    ("behave", "message", "requests"),
    [
        (lambda h: h.answer(completion()[:40]), "no JSON", 1),
        (lambda h: h.answer(completion(), Content_Length=9999), "without sending complete", 5),
        (lambda h: h.answer(b""), "no JSON", 1),
        (lambda h: h.answer(b"<html>"), "no JSON", 1),
        (lambda h: h.answer(b"[" * 100_000), "no JSON", 1),
        (lambda h: h.answer(b"9" * 5000), "no JSON", 1),
        (lambda h: h.answer(b"\xff\xfe\x00"), "no JSON", 1),
        (lambda h: h.answer(b"data: {}\n\n"), "no JSON", 1),
        (lambda h: h.answer(b"no\x1b[31m key", 401), r"take the key \(status 401, 'no\\x1b\[", 1),
        (lambda h: h.answer(b"", 403), r"take the key \(status 403\)", 1),
        (lambda h: h.answer(b"no such model", 404), "status 404, 'no such model'", 1),
        (lambda h: h.answer(b"", 429, Retry_After="0"), "status 429", 5),
        (lambda h: h.answer(b"", 500), "status 500", 5),
        (lambda h: h.wfile.write(b"\0" * 999), "illegal|disconnected", 5),
        (lambda h: None, "disconnected", 5),
        (lambda h: h.answer(b"", 307, Location="http://["), "another host", 1),
        (lambda h: h.answer(b"", 307, Location="http://a:b"), "status 307", 1),
    ],
)
def test_what_is_no_answer_is_one_clear_error(behave, message, requests):
    with HostileServer(behave) as server, pytest.raises(ModelError, match=message) as caught:
        ask(server)
    assert caught.value.fix
    assert len(server.requests) == requests


def test_a_server_that_is_not_there_is_one_clear_error():
    with HostileServer(hostile.silent) as server:
        pass
    with pytest.raises(NoAnswerError, match="connection"):
        ask(server)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "file:///etc/passwd", "http://", "http://a:b", "ftp://x", "\ud800"],
)
def test_what_is_no_address_is_refused_before_anything_is_asked(url):
    with pytest.raises(ConfigError, match="no address"):
        Endpoint(url, "m")


def named(*positions):
    return {"top_logprobs": list(positions)}


def listed(*tops):
    return {"content": [{"top_logprobs": list(tops)}]}


IMPOSSIBLE = {
    "bool": named({"a": False}),
    "text": named({"a": "-1.0"}),
    "above 0": named({"a": 0.5}),
    "nan": named({"a": math.nan}),
    "infinity": named({"a": math.inf}),
    "sum of 6": named(dict.fromkeys("abcdef", 0.0)),
    "no list": {"top_logprobs": {"a": -1.0}},
    "a number": {"top_logprobs": 3},
    "text for all": "none",
    "deep": named({"a": {"b": {"c": -1.0}}}),
    "more positions than tokens": named(*[{"a": -1.0}] * 5),
    "more tokens than asked for": named({str(i): -50.0 for i in range(7)}),
    "surrogate": named({"\ud800": -1.0}),
    "an id that is bool": listed({"id": True, "logprob": -1.0}),
    "an id that is text": listed({"id": "7", "logprob": -1.0}),
    "an id with a fraction": listed({"id": 1.5, "logprob": -1.0}),
    "an id below 0": listed({"id": -1, "logprob": -1.0}),
    "an id twice": listed({"id": 7, "logprob": -2.0}, {"id": 7, "logprob": -3.0}),
    "a text twice": listed({"token": "a", "logprob": -2.0}, {"token": "a", "logprob": -3.0}),
    "no name": listed({"logprob": -1.0}),
    "bool in a list": listed({"id": 7, "logprob": True}),
    "sum in a list": listed({"id": 7, "logprob": 0.0}, {"id": 8, "logprob": -0.1}),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_numbers_that_are_impossible_are_an_error_and_never_evidence(name):
    body = completion(logprobs=IMPOSSIBLE[name])
    with (
        HostileServer(lambda h: h.answer(body)) as server,
        pytest.raises(ModelError, match="cannot be one") as caught,
    ):
        ask(server, logprobs=5)
    assert not isinstance(caught.value, NoAnswerError)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": []}',
        b"{}",
        b"null",
        b"[]",
        b"3",
        json.dumps({"choices": [{"text": "a"}, {"text": "b"}]}).encode(),
        json.dumps({"choices": [{"text": 3}]}).encode(),
        json.dumps({"choices": [{"text": ["a"]}]}).encode(),
        json.dumps({"choices": [{"text": "a", "finish_reason": 7}]}).encode(),
        json.dumps({"choices": [{"text": "\udc80"}]}).encode(),
        json.dumps({"choices": {"0": {"text": "a"}}}).encode(),
        b'{"choices": [{"text": "a", "text": "b"}]}',
        b'{"choices": [{"text": "a", "logprobs": {"top_logprobs": [{"x": -1, "x": -2}]}}]}',
    ],
)
def test_another_count_or_kind_of_answers_is_an_error(body):
    with pytest.raises(ModelError, match="cannot be one"):
        read_answer(body, 4, 5)


def test_what_real_servers_write_is_read():
    third, half = math.log(1 / 3), "\ufffd"
    by_id = {"token_id:3": third, "x": third, "y": third}
    halves = [{"id": 7, "token": half, "logprob": -1.5}, {"id": 8, "token": half, "logprob": -2.5}]
    by_text = [{"token": "a", "logprob": -math.inf}, {"token": "b", "logprob": 0.0, "bytes": [98]}]
    for logprobs, positions in (
        (None, []),
        ({"top_logprobs": None}, []),
        (named(None, {"a": -1, "?": None, "b": -9999.0}), [{}, {"a": -1.0}]),
        (named(by_id), [by_id]),
        (listed(*halves), [{7: -1.5, 8: -2.5}]),
        (listed(*by_text), [{"b": 0.0}]),
    ):
        assert read_answer(completion(logprobs=logprobs), 4, 5).positions == positions


def test_two_names_of_one_token_are_an_error():
    loaded = tiny_loaded()
    text = next(t for t in loaded.vocabulary.texts if len(t) > 1 and t.isalpha())
    index = loaded.vocabulary.texts.index(text)
    body = completion(logprobs=named({text: -1.0, f"token_id:{index}": -2.0}))
    with pytest.raises(ModelError, match="one token twice"):
        ServerFormat(loaded.tokenizer, loaded.vocabulary).likeliest(read_answer(body, 1, 5))


@pytest.mark.parametrize(
    "name", ["token_id:²", "token_id:-1", "token_id:" + "9" * 5000, "token_id:"]
)
def test_what_only_looks_like_an_id_is_a_token_that_nobody_knows(name):
    loaded = tiny_loaded()
    form = ServerFormat(loaded.tokenizer, loaded.vocabulary)
    choice = read_answer(completion(logprobs=named({name: -1.0})), 1, 5)
    assert form.likeliest(choice) == {}
    assert form.unknown == 1
    assert all(len(stranger) <= 40 for stranger in form.strangers)


def test_of_a_text_without_end_no_more_is_read_than_was_asked_for():
    tokenizer = gpt2_tokenizer()
    text = " The quick brown fox." * 40_000
    with HostileServer(lambda h: h.answer(completion(f"{h.asked['seed']}{text}"))) as server:
        suspect, begun = EndpointTextSuspect(Endpoint(server.url, "m"), tokenizer), time.monotonic()
        answers = suspect.write(8, 64, 0)
    begins = [tokenizer(f"{seed}{text[:2000]}")["input_ids"][:64] for seed in range(8)]
    assert [answer.ids for answer in answers] == begins
    assert time.monotonic() - begun < 10


def test_fewer_log_probabilities_are_asked_for_only_where_more_were_refused():
    loaded = tiny_loaded()

    def behave(handler):
        handler.answer(completion(logprobs=IMPOSSIBLE["sum of 6"]))

    with (
        HostileServer(behave) as server,
        pytest.raises(ModelError, match="sum to 6"),
    ):
        EndpointSuspect(Endpoint(server.url, "m"), loaded.tokenizer, loaded.vocabulary)
    assert len(server.requests) == 1


def check(body):
    begun = time.monotonic()
    try:
        positions = read_answer_of_a_stranger(body)
    except TiltError:
        positions = []
    for position in positions:
        assert sum(map(math.exp, position.values())) <= 1.011
        assert all(not isinstance(value, bool) for value in position.values())
    assert time.monotonic() - begun < 10


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(good_answers())
def test_true_distributions_are_read_as_they_are(body):
    logprobs = json.loads(body)["choices"][0]["logprobs"]
    told = logprobs.get("content") or logprobs["top_logprobs"]
    tops = told[0].get("top_logprobs", told[0])
    values = [t["logprob"] for t in tops] if isinstance(tops, list) else list(tops.values())
    assert [list(p.values()) for p in read_answer_of_a_stranger(body)] == [values]


ENDPOINT = door("answers of endpoints", ANSWERS)(read_answer_of_a_stranger)
"""For `test_all_doors`."""


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(ANSWERS)
def test_any_answer_is_read_or_refused(body):
    check(body)


@pytest.mark.slow
@settings(
    max_examples=5000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(ANSWERS)
def test_any_of_many_answers_is_read_or_refused(body):
    check(body)
