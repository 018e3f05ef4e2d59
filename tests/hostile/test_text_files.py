"""Texts, prompts, chats, pairs and lists are read from regular files, or refused in one error."""

import json
import os
import time
from contextlib import suppress
from functools import lru_cache

import pytest
from hypothesis import strategies as st

from tests.hostile.fuzzing import NASTY, door, mutated, nasty_values, nested, push, written
from tests.tiny import tiny_loaded
from tiltlm import reading
from tiltlm.auditing.inputs import read_lists
from tiltlm.auditing.shifts.trigger_probes import read_words
from tiltlm.contexts.evaluation import read_text
from tiltlm.contexts.sources import make_contexts
from tiltlm.errors import ConfigError
from tiltlm.measures.minimal_pairs import _blimp

LINE = json.dumps({"messages": [{"role": "user", "content": "hello"}]})


@lru_cache
def loaded():
    """A tiny model, made once."""
    return tiny_loaded()


def contexts(kind):
    """What reads contexts of a kind from a file."""
    return lambda path: make_contexts(f"{kind}:{path}", loaded(), count=2, length=8)


READERS = {
    "text": contexts("text"),
    "prompts": contexts("prompts"),
    "chat": contexts("chat"),
    "text to measure on": read_text,
    "pairs": _blimp,
    "lists of words": read_lists,
    "trigger words": read_words,
}

contents = st.one_of(
    st.binary(max_size=60),
    nasty_values.map(lambda value: json.dumps(value).encode()),
    mutated([LINE, f"{LINE}\n{LINE}", '{"n": ["a", "b"]}', '["a", "b"]', "one\ntwo"], NASTY).map(
        lambda text: text.encode(errors="surrogatepass")
    ),
    nested("[", '"x"', "]").map(str.encode),
    nested('{"prompt": ', '"x"', "}").map(str.encode),
)


@door("lists and pairs", contents)
def read_list(content):
    with written(content) as path:
        for name in ("lists of words", "trigger words", "pairs", "text to measure on"):
            with suppress(ConfigError):
                READERS[name](path)


@door("prompts and chats", contents)
def read_contexts(content):
    with written(content) as path:
        READERS["prompts"](path)
        READERS["chat"](path)


@pytest.mark.parametrize("through", [read_list, read_contexts], ids=lambda d: d.name)
def test_a_file_is_read_or_is_one_error(through):
    assert push(through, 150).faults == []


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_text_is_a_regular_file_of_some_size(tmp_path, read, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    began = time.perf_counter()
    for name in ("pipe", "zero", "dangling", ".", "x" * 300, "pipe/inside", "nul\0"):
        with pytest.raises(ConfigError, match="cannot read"):
            read(tmp_path / name)
    assert time.perf_counter() - began < 10


def test_a_file_of_more_bytes_than_are_read_is_refused_and_lines_end_as_they_always_did(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("a\r\nb\rc\né".encode())
    assert reading.read_text(path) == path.read_text(encoding="utf-8") == "a\nb\nc\né"
    with pytest.raises(OSError, match="it has more than"):
        reading.read_text(path, 3)
    assert reading.read_text(path, 9) == "a\nb\nc\né"


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "1e999", "[" * 9000, '"\\ud800"', "9" * 5000]
)
def test_json_that_is_none_is_a_value_error(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError):
        reading.read_json(tmp_path / "x.json")
