import pytest

from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.report.event_words import in_words
from tiltlm.strings.catalogue import languages


@pytest.mark.parametrize("language", languages())
def test_every_class_that_an_audit_tries_by_itself_has_words(language, gpt2_vocabulary):
    few = Vocabulary(gpt2_vocabulary.tokens[::7])
    names = [name for name in build_classes(few).names if not name.startswith("tokens(")]
    assert len(names) > 1000
    without = [name for name in names if not in_words(name, language)]
    assert without == []


def test_words_of_different_classes_differ(gpt2_vocabulary):
    names = build_classes(Vocabulary(gpt2_vocabulary.tokens[::7])).names
    words = [in_words(name) for name in names if not name.startswith("tokens(")]
    # Signs that mark the end of a line and a sentence look alike; hardly any words are shared.
    assert len(set(words)) > 0.99 * len(words)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("contains('x')", "tokens with “x” in them"),
        ("contains('x', 'y', ignore_case=True)", "tokens with “x” or “y” in them in any case"),
        ("word('he') | word('she')", "the word “he” or the word “she”"),
        ("~special()", "all but control tokens"),
        ("phrase('a testament to')", "the phrase “a testament to”"),
        ("contains('\\n')", "tokens with “⏎” in them"),
        (r"matches('\\.\\.$')", "words that end in “..”"),
        ("matches('^ ?un')", "words that begin with “un”"),
        (r"matches('^ ?\\S{3}$')", "words of length 3"),
    ],
)
def test_events_in_words(expression, words):
    parse_event(expression)
    assert in_words(expression) == words


@pytest.mark.parametrize(
    "text",
    [
        "tokens(1, 2)",
        "like ' cat', ' dog'",
        "a list",
        "",
        "(" * 300,
        "x" * 500,
        "\0",
        "matches('(a|b)')",
        "contains(1)",
        "contains(*['x'])",
        "__import__('os')",
        "contains('\ud800')",
    ],
)
def test_what_has_no_words_is_left_as_it_is(text):
    assert in_words(text) in ("", "tokens with “·” in them")
