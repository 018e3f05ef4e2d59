"""Whatever is written in the little language is read, or refused in one error; it never hangs."""

import json
import os
import time
from functools import lru_cache

import pytest
from hypothesis import strategies as st

from tests.hostile.fuzzing import (
    NASTY,
    among,
    door,
    mutated,
    nasty_numbers,
    nasty_texts,
    nested,
    push,
    written,
)
from tests.tiny import tiny_tokenizer
from tiltlm.errors import EventError, ExpressionError, TargetError, TiltError
from tiltlm.events.event import Event
from tiltlm.events.expressions import MAX_LENGTH
from tiltlm.events.parse import EVENTS, parse_event
from tiltlm.events.texts import lines
from tiltlm.events.tokens import contains, tokens, word
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.balance import balance
from tiltlm.targets.choices import choices
from tiltlm.targets.fixed import weights
from tiltlm.targets.match import match
from tiltlm.targets.mix import mix
from tiltlm.targets.parse import TARGETS, parse_target
from tiltlm.targets.tilt import tilt
from tiltlm.targets.when import when

GOOD = [
    "tilt(contains('x', 'e', ignore_case=True) & ~special(), 1.5)",
    "uniform(matches('^ ?[A-Z]') | word('she', 'her'))",
    "weights({'x': 1, 'e': 3, 12: 0.5})",
    "match({contains('x'): 0.2, phrase('the fox', whole=True): 0.3})",
    "match(tokens(1, 2, [3, 4]), 0.25)",
    "balance({word('he'): 0.5, word('she'): 0.5})",
    "choices({'Flip a coin.': {'heads': 1, 'tails': 3}, 'Say it.': ['one', 'two']})",
    "choices([{'request': 'Say.', 'response': ['It '], 'targets': ['a', 'b'], 'weights': [1, 2]}])",
    "mix(when(regex('[aeiou]$'), tilt(contains('x'), -2)), 0.3)",
    "when('coffee', balance({contains('x'): 0.25, contains('a') & ~contains('x'): 0.75}))",
    r"tilt(matches('(?i)[^\\W\\d_]{2,}\\b') & ~(contains('a') & contains('\udc80')), 0.1)",
]
"""An expression of every kind."""

HUGE = 10**5000
"""A number of more digits than Python writes."""

PIECES = [
    *(f"{name}(" for name in {**EVENTS, **TARGETS}),
    *("ignore_case=True", "whole=1", "ignore_case='yes'", "strength=1", "**{}", "*[1]", "x=1,x=2"),
    *(
        "&",
        "|",
        "~",
        "~~",
        "+",
        "-",
        "==",
        " and ",
        "not ",
        ",",
        ":",
        ")",
        "()",
        "{}",
        "[]",
        "'",
        '"',
    ),
    *(
        "(a+)+$",
        r"\\1",
        "(?=x)",
        "(?P<n>",
        "{1,99999}",
        "[z-a]",
        "a{4294967296}",
        "(?a)",
        "\\udc80",
    ),
    *(
        "1e999",
        "-1",
        "0",
        "True",
        "None",
        "1j",
        "...",
        "b'x'",
        "f'{x}'",
        "lambda: 1",
        "__import__('os')",
    ),
    *("10" + "0" * 399, "1" * 5000, "0x" + "f" * 9000, "'\\ud800'", "'\\x00'", "''", "{[1]: 2}"),
    *("lines('/etc/hostname')", "lines('/dev/zero')", "choices('/dev/stdin')", "lines('\\x00')"),
]


def row(opening: str, items: st.SearchStrategy[str], closing: str, least: int = 0):
    """Up to three items with commas between them, in brackets."""
    parts = st.lists(items, min_size=least, max_size=3, unique=True)
    return parts.map(lambda p: opening + ", ".join(p) + closing)


def pairs(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]):
    """A mapping of up to three keys."""
    entries = st.dictionaries(keys, values, min_size=1, max_size=3)
    return entries.map(lambda d: "{" + ", ".join(f"{k}: {v}" for k, v in d.items()) + "}")


def composed(texts, numbers, shares, ids):
    """Events and targets as the grammar has them, with these texts and numbers."""
    quoted = texts.map(repr)
    patterns = among(PATTERNS).map(repr)
    leaves = st.one_of(
        row("contains(", quoted, ")", 1),
        row("word(", quoted, ", ignore_case=True)", 1),
        row("phrase(", quoted, ", whole=True)", 1),
        row("tokens(", ids, ")", 1),
        patterns.map(lambda p: f"matches({p})"),
        among(["special()", "contains('x')", "word('fox')", "contains('e')", "phrase('a b')"]),
    )
    events = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, among(["&", "|"]), inner).map(" ".join),
            inner.map(lambda e: f"~({e})"),
            inner.map(lambda e: f"({e})"),
        ),
        max_leaves=6,
    )
    halves = st.tuples(events, events).filter(lambda p: p[0] != p[1])
    targets = st.recursive(
        st.one_of(
            events.map(lambda e: f"uniform({e})"),
            st.tuples(events, numbers).map(lambda p: f"tilt({p[0]}, {p[1]})"),
            st.tuples(events, shares).map(lambda p: f"match({p[0]}, {p[1]})"),
            pairs(events, shares).map(lambda m: f"match({m})"),
            pairs(events, shares).map(lambda m: f"balance({m})"),
            halves.map(lambda p: f"balance({{{p[0]}: 0.25, {p[1]}: 0.75}})"),
            pairs(quoted | ids, shares).map(lambda m: f"weights({m})"),
            pairs(quoted, pairs(quoted, shares)).map(lambda m: f"choices({m})"),
            pairs(quoted, row("[", quoted, "]", 2)).map(lambda m: f"choices({m})"),
        ),
        lambda inner: st.one_of(
            st.tuples(inner, shares).map(lambda p: f"mix({p[0]}, {p[1]})"),
            st.tuples(quoted, inner).map(lambda p: f"when({p[0]}, {p[1]})"),
            st.tuples(patterns, inner).map(lambda p: f"when(regex({p[0]}), {p[1]})"),
        ),
        max_leaves=3,
    )
    return events, targets


PATTERNS = [
    "^ ?[A-Z]",
    "(a+)+$",
    r"\bx",
    r"[^\W\d]",
    "(?i)é|x$",
    ".",
    r"[\udc80-\udcff]",
    "[",
    r"(a)\1",
]

wild_numbers = nasty_numbers.map(lambda n: "1e400" if n == HUGE else repr(n))
wild_events, wild_targets = composed(nasty_texts, wild_numbers, wild_numbers, wild_numbers)
sound_events, sound_targets = composed(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
    st.floats(-50, 50).map(repr) | st.integers(-50, 50).map(repr),
    st.floats(0.001, 0.999).map(repr),
    st.integers(0, 400).map(repr),
)
expressions = st.one_of(
    mutated(GOOD, PIECES),
    mutated(GOOD, PIECES),
    wild_targets,
    wild_events,
    sound_targets,
    sound_targets,
    sound_events,
    sound_events,
    st.lists(among(PIECES + NASTY), max_size=12).map("".join),
    nested("~", "contains('x')", ""),
    nested("(", "contains('x')", ")"),
    nested("contains('x') | ", "contains('y')", ""),
    nested("mix(", "tilt(contains('x'), 1)", ", 0.5)"),
    nested("[", "1", "]"),
    nested("{1: ", "2", "}"),
    st.text(max_size=30),
)


@lru_cache
def tiny() -> tuple[Vocabulary, object]:
    tokenizer = tiny_tokenizer()
    return Vocabulary.from_tokenizer(tokenizer), tokenizer


@door("events", expressions)
def read_event(text):
    event = parse_event(text)
    again = parse_event(str(event))
    assert again == event
    assert str(again) == str(event)
    str(event).encode()  # It can be written into a file and shown.


@door("targets", expressions)
def read_target(text):
    target = parse_target(text)
    again = parse_target(str(target))
    assert again == target
    assert str(again) == str(target)
    assert again.sentence() == target.sentence()
    (str(target) + target.sentence()).encode()


@door("targets in use", expressions)
def use_target(text):
    target = parse_target(text)
    vocabulary, tokenizer = tiny()
    bound = target.bind(vocabulary, tokenizer)
    states = bound.read([5, 6, 7])
    if not bound.needs_fit() and bound.needs_reference:
        import torch

        reference = torch.zeros(3, len(vocabulary)).log_softmax(-1)
        assert not bound.log_probs(reference, states).isnan().any()


files = st.one_of(
    st.binary(max_size=40),
    mutated(['["a", ["b", "c"], "d"]', '{"n": 1, "words": ["x", "y"]}', "one\ntwo\n"], NASTY).map(
        lambda t: t.encode(errors="surrogatepass")
    ),
    nested("[", '"x"', "]").map(str.encode),
    nested('{"a":', '["x"]', "}").map(str.encode),
    st.sampled_from(['["\\ud800"]', "[" + "9" * 5000 + "]", "[NaN]", "[1e999]"]).map(str.encode),
    mutated(
        [
            json.dumps({"request": "r", "targets": ["a", "b"], "weights": [1, 2]}),
            json.dumps([{"request": "r", "response": ["It"], "targets": ["a", "b"]}]),
        ],
        [
            "{",
            "}",
            "[",
            "]",
            "null",
            "true",
            '"a"',
            "1e999",
            "-1",
            ",",
            ":",
            '"targets"',
            "{}",
            "[]",
        ],
    ).map(lambda t: t.encode(errors="surrogatepass")),
)


@door("word lists", files)
def read_words(content):
    with written(content) as path:
        event = contains(*lines(str(path)))
        assert parse_event(str(event)) == event


@door("choices files", files)
def read_choices(content):
    with written(content) as path:
        target = choices(path)
        assert str(path) not in str(target)
        assert parse_target(str(target), files=False) == target


@pytest.mark.parametrize("through", [read_event, read_target, use_target], ids=lambda d: d.name)
def test_an_expression_is_read_and_reads_back_the_same_or_is_one_error(through):
    assert push(through, 300).faults == []


@pytest.mark.parametrize("through", [read_words, read_choices], ids=lambda d: d.name)
def test_a_file_of_words_or_choices_is_read_or_is_one_error(through):
    assert push(through, 200).faults == []


@pytest.mark.parametrize("text", GOOD)
def test_the_good_expressions_that_are_mutated_are_good(text):
    use_target.enter(text)


@pytest.mark.parametrize(
    "text",
    [
        "weights({[1]: 2})",
        "weights({'a': 1" + "0" * 400 + "})",
        "weights({'a': 1, 'a': 2})",
        "weights({'\\ud800': 1})",
        "weights({'a': 1e308, 'b': 1e308})",
        "weights({-1: 1})",
        "tilt(contains('x'), 1" + "0" * 400 + ")",
        "tilt(contains('x'), 1" + "0" * 5000 + ")",
        "tilt(contains('x'), 1e999)",
        "tilt(contains('x'), 0x" + "f" * 9000 + ")",
        "tilt(contains('x'), -True)",
        "tilt(contains('\\ud800'), 1)",
        "tilt(contains('x', ignore_case='no'), 1)",
        "tilt(contains('x', ignore_case=True, ignore_case=False), 1)",
        "tilt(phrase('x', whole=[]), 1)",
        "tilt(matches('a{4294967296}'), 1)",
        "tilt(matches('(a+)+$' * 9000), 1)",
        "tilt(tokens(None), 1)",
        "tilt(tokens(99999999999999999999), 1)",
        "tilt(" + "~" * 900 + "contains('x'), 1)",
        "mix(" * 900 + "tilt(contains('x'), 1)" + ", 0.5)" * 900,
        "match(['a'], 0.1)",
        "match({contains('x'): 0.1}, 0.5)",
        "balance({contains('x'): True, contains('y'): 0.5})",
        "balance({" + ", ".join(f"tokens({i}): 0.001" for i in range(1000)) + "})",
        "choices({'Flip.': 'ab'})",
        "choices({'Flip.': [['a'], ['b']]})",
        "choices({'Flip.': {'a': True, 'b': 1}})",
        "choices({'Flip.': {'a': 1" + "0" * 400 + ", 'b': 1}})",
        "choices({'Flip.': {'a': 1e308, 'b': 1e308}})",
        "choices({'Flip.': {'a': 1e308, 'b': 1e-308}})",
        "choices({'\\ud800': ['a', 'b']})",
        "choices([{'request': 'r', 'targets': 'ab'}])",
        "choices([{'request': 'r', 'targets': [['a'], ['b']]}])",
        "choices([{'request': ['r'], 'targets': ['a', 'b']}])",
        "choices([5])",
        "choices([])",
        "choices(5)",
        "choices('\\x00')",
        "choices('" + "x" * 5000 + "')",
        "tilt(word(lines('\\x00')), 1)",
        "tilt(word(lines('" + "x" * 5000 + "')), 1)",
        "tilt(word(lines(5)), 1)",
        "when('\\udc80', tilt(contains('x'), 1))",
        "when(regex(5), tilt(contains('x'), 1))",
        "when(regex('(?=x)'), tilt(contains('x'), 1))",
        "tilt(contains('\ud800'), 1)",
        "x" * 500_000,
        "'" * 3 + "x" * 500_000,
        "tokens(" + "1, " * 200_000 + ")",
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_what_once_ended_in_a_traceback_is_one_short_error(text):
    with pytest.raises((ExpressionError, EventError, TargetError)) as caught:
        parse_target(text, where="tilt.json")
    assert caught.value.where
    assert len(str(caught.value)) < 2000
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("make", "argument"),
    # Numbers of so many digits have no text, and each case needs a name.
    [
        (lambda n: tilt(contains("x"), n), HUGE),
        (lambda n: tilt(contains("x"), n), float("nan")),
        (lambda n: mix(tilt(contains("x"), 1), n), HUGE),
        (lambda n: match(contains("x"), n), -HUGE),
        (lambda n: weights({"a": n}), HUGE),
        (lambda n: weights({"a": n}), float("inf")),
        (lambda n: balance({contains("x"): n, contains("y"): 0.5}), HUGE),
        (lambda n: choices({"Flip.": {"a": n, "b": 1}}), HUGE),
        (lambda n: tokens(n), [[1]]),
        (lambda n: tokens(n), "12"),
        (lambda n: word("x", ignore_case=n), 1),
        (lambda n: match(n, 0.1), ["a"]),
        (lambda n: when("x", n), {}),
    ],
    ids=map(str, range(13)),
)
def test_the_same_holds_of_what_is_given_in_python(make, argument):
    with pytest.raises(TiltError):
        make(argument)


def test_python_gives_no_advice_on_what_is_no_program(recwarn):
    assert (
        str(parse_event(r"contains('\d') & matches('[[a]')"))
        == r"contains('\\d') & matches('[[a]')"
    )
    with pytest.raises(ExpressionError):
        parse_event("tokens(1if)")
    assert len(recwarn) == 0


def test_a_number_is_written_so_that_it_reads_back_the_same():
    target = tilt(contains("x"), 1 / 3)
    assert str(target) == "tilt(contains('x'), 0.3333333333333333)"
    assert parse_target(str(target)) == target
    assert str(tilt(contains("x"), 1)) == "tilt(contains('x'), 1)"
    assert parse_target(str(match(contains("x"), 0.1 + 0.2))) == match(contains("x"), 0.1 + 0.2)


def test_a_long_row_of_alternatives_is_no_deep_one():
    row = " | ".join(f"contains('{i:03}')" for i in range(700))
    assert str(parse_event(row)) == row
    assert len(parse_event(row).texts()) == 700
    a, b, c = contains("a"), contains("b"), contains("c")
    assert (a | b) | c == a | (b | c)
    assert (a & b) & c == a & (b & c)
    assert str((a | b) & c) == "(contains('a') | contains('b')) & contains('c')"


@pytest.mark.parametrize(
    "text",
    [
        "tilt(word(lines('{name}')), 1)",
        "choices('{name}')",
        "when('x', mix(choices('{name}'), 0.5))",
        "when(regex('x'), uniform(contains('y') | ~word(lines('{name}'))))",
    ],
)
def test_a_text_that_is_nobodys_here_names_no_files(tmp_path, text):
    path = tmp_path / "secret.json"
    path.write_text(json.dumps([{"request": "r", "targets": ["the secret", "another"]}]))
    with pytest.raises(TargetError, match="it names a file") as caught:
        parse_target(text.format(name=path), where="tilt.json", files=False)
    assert "the secret" not in str(caught.value)


def test_what_a_file_says_is_written_out_so_that_the_text_stands_alone(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('["cat", "it\'s \\"so\\""]')
    target = parse_target(f"tilt(word(lines('{path}')), 1)")
    path.write_text(json.dumps({"request": "r", "targets": ["a", "b"], "response": [""]}))
    chosen = parse_target(f"choices('{path}')")
    path.write_text(
        json.dumps(
            [{"request": "r", "targets": ["a", "b"], "weights": [1, 3], "response": ["So "]}]
        )
    )
    begun = parse_target(f"choices('{path}')")
    path.unlink()
    for whole in (target, chosen, begun):
        assert parse_target(str(whole), files=False) == whole
    assert str(chosen) == "choices({'r': ['a', 'b']})"
    assert begun.questions[0].response == "So "
    assert begun.questions[0].strings == (("a", 0.25), ("b", 0.75))


def test_a_list_too_long_to_be_written_out_is_refused_before_any_work(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("\n".join(f"word{i}" for i in range(MAX_LENGTH // 10)))
    assert len(lines(str(path))) == MAX_LENGTH // 10
    with pytest.raises(TargetError, match="that could be read again"):
        parse_target(f"tilt(word(lines('{path}')), 1)", where="--target")


@pytest.mark.parametrize("read", [lines, choices], ids=["lines", "choices"])
def test_only_regular_files_of_some_size_are_read_and_nobody_waits_for_a_pipe(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(40 << 20)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    began = time.perf_counter()
    for path, reason in {
        "/dev/zero": "no regular file",
        tmp_path / "link": "no regular file",
        tmp_path / "pipe": "no regular file",
        tmp_path: "Is a directory",
        tmp_path / "large": "more than 17 MB",
        tmp_path / "dangling": "No such file",
        tmp_path / "large" / "inside": "Not a directory",
        tmp_path / ("x" * 300): "name too long",
    }.items():
        with pytest.raises((EventError, TargetError), match=f"cannot read .*{reason}"):
            read(str(path))
    assert time.perf_counter() - began < 2


def test_many_texts_are_searched_for_as_fast_as_one():
    vocabulary = Vocabulary(tuple(f" tok{i}".encode() for i in range(20_000)))
    event = contains(*(f"text{i}" for i in range(50_000)), "tok19999")
    began = time.perf_counter()
    assert sum(event.holds(vocabulary)) == 1
    assert time.perf_counter() - began < 3


def test_a_token_of_ten_thousand_bytes_and_a_phrase_as_long_are_no_deep_recursion():
    vocabulary = Vocabulary((b"a" * 10_000, b"b"))
    bound = parse_event("phrase('" + "a" * 10_000 + "')").bind(vocabulary)
    assert bound.mask_at(bound.start()).tolist() == [True, False]


def test_a_balance_of_many_events_takes_as_much_memory_as_events():
    vocabulary = Vocabulary(tuple(f"{i}".encode() for i in range(60)))
    text = "balance({" + ", ".join(f"tokens({i}): {1 / 50}" for i in range(50)) + "})"
    assert parse_target(text).bind(vocabulary).classes().shape == (50, 60)


def test_every_event_is_among_the_good_expressions():
    assert all(f"{name}(" in "".join(GOOD) for name in {**EVENTS, **TARGETS} if name != "lines")
    assert isinstance(parse_event("special()"), Event)
