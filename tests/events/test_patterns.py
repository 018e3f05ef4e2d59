"""Patterns mean what they mean to Python's re, and take linear time, whoever wrote them."""

import re
import time

import pytest

from tiltlm.auditing.classes.token_classes import _FORMS, _SCRIPTS
from tiltlm.errors import EventError
from tiltlm.events.parse import parse_event
from tiltlm.events.patterns import Pattern
from tiltlm.events.tokens import matches
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load_tokenizer

IN_USE = [
    *_FORMS.values(),
    *_SCRIPTS.values(),
    *(rf"^ ?\S{{{length}}}$" for length in range(1, 13)),
    *("^ ?[A-Z]", "^ ?ne", "^ ?MA", "ed$", "^,$", "y$", "[aeiou]$", "[ab]", "^f", "^ ", "[A-Z]"),
    r"[\udc80-\udcff]",
]
"""Every pattern of tests, benchmarks and documents, and those that audits name classes by."""

OTHERS = [
    *(r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"[^\W\d_]", r"[\W\d]", r"[\S\n]", r"[^\d]"),
    *(".", "^.$", "(?s)^.$", "(?m)^a$", "(?i)the", "(?i:é)", r"\bthe\b", r"\Bing\b", "(?x) a # b"),
    *(
        "a{,3}$",
        "a{,}$",
        "a{2}",
        "a{",
        "e{x}",
        "(?P<n>a)+?b",
        "[]a]",
        "[^]a]",
        r"[\]\-^[]",
        r"[\b]",
    ),
    *("\n$", r"\n\Z", "^$", r"a$|^b", "(?:a|b$)*c", r"\x41", r"\u00e9", r"\101", r"\N{EN DASH}"),
    *("[\x80-\uffff]", r"[^\x00-\x7f]", "\udce2", "[\ud800-\U00010000]", "[^a]", "[^ab]"),
]
"""Patterns that RE2 would read otherwise if it were given them as they are."""


@pytest.fixture(scope="module")
def smollm2() -> Vocabulary:
    return Vocabulary.from_tokenizer(load_tokenizer("smollm2"))


def differing(pattern, texts):
    """The texts that Python's re and ours disagree about."""
    search, found_in = re.compile(pattern).search, Pattern(pattern).found_in
    return [text for text in texts if (search(text) is not None) != found_in(text)]


@pytest.mark.parametrize("pattern", IN_USE)
def test_a_pattern_in_use_is_found_in_the_same_tokens_as_by_pythons_re(pattern, gpt2_vocabulary):
    assert differing(pattern, gpt2_vocabulary.texts) == []


@pytest.mark.parametrize("pattern", OTHERS)
def test_any_other_pattern_is_found_in_the_same_tokens_too(pattern, gpt2_vocabulary):
    some = gpt2_vocabulary.texts[::9] + gpt2_vocabulary.texts[:300]
    assert differing(pattern, some) == []


@pytest.mark.slow
@pytest.mark.parametrize("pattern", IN_USE + OTHERS)
def test_a_pattern_is_found_in_the_same_tokens_of_smollm2(pattern, smollm2):
    assert differing(pattern, smollm2.texts) == []


def test_classes_hold_the_characters_that_pythons_hold():
    characters = [chr(c) for c in range(0x3400)]
    for pattern in (r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"[^\W\d_]", r"[\W\d]", "(?i)k"):
        assert differing(pattern, characters) == [], pattern


def test_what_is_known_to_differ_is_what_the_module_says():
    assert re.search(r"a\b", "aé") is None
    assert Pattern(r"a\b").found_in("aé")
    assert re.search("a$\n", "a\n")
    assert not Pattern("a$\n").found_in("a\n")
    assert re.search("(?i)ı", "i")
    assert not Pattern("(?i)ı").found_in("i")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=x)", "a look-around"),
        ("(?<!x)y", "a look-around"),
        (r"(a)\1", "a back reference"),
        ("(?P<n>a)(?P=n)", "a back reference"),
        ("(a)?(?(1)b|c)", "a condition"),
        ("(?>a)b", "an atomic group"),
        ("a*+", "a possessive repeat"),
        ("(?a)x", "the flag a"),
        ("(?a:x)", "the flag a"),
        ("a{1001}", "more than 1000 times"),
        ("(?:a{1000}){1000}", "repetition size"),
        ("a{4294967296}", "repetition number is too large"),
        ("a{" + "9" * 5000 + "}", "4300"),
        (r"(?:\w{500}){2}", "too large"),
        ("(" * 100_000, "more than 20000"),
        ("(" * 9000, "nested too deeply"),
        ("(", "missing )"),
        ("[z-a]", "bad character range"),
        ("\\", "bad escape"),
        (r"\N{NO SUCH THING}", "undefined character name"),
    ],
)
def test_what_linear_time_does_not_allow_is_one_error_that_says_what(pattern, reason, capfd):
    with pytest.raises(EventError, match="no regular expression of linear time: ") as caught:
        matches(pattern)
    assert reason in caught.value.what
    assert caught.value.fix.endswith("there are no look-arounds and no back references")
    assert capfd.readouterr() == ("", "")  # RE2 would write a log of its own


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)*$", "(x+x+)+y", "(.*.*)*b", "(?:a?){300}a{300}b", "[ab]*a[ab]{300}$"],
)
def test_a_pattern_that_would_take_re_years_takes_no_time(pattern):
    event = matches(pattern)
    began = time.perf_counter()
    event.holds(Vocabulary((b"a" * 5000 + b"!", b"ab" * 5000, b"x" * 5000)))
    assert time.perf_counter() - began < 2


def test_a_trigger_is_searched_for_in_linear_time_too():
    from tiltlm.targets.trigger import TriggerAutomaton, regex

    automaton = TriggerAutomaton(regex("(a+)+$"), Vocabulary((b"a", b"!")))
    began = time.perf_counter()
    assert [met for met, _ in automaton.read([0] * 300 + [1] * 300)] == [True] * 300 + [False] * 300
    assert time.perf_counter() - began < 2


def test_every_pattern_in_use_can_be_written_as_an_event():
    for pattern in IN_USE + OTHERS:
        assert parse_event(str(matches(pattern))) == matches(pattern)
