import random

import pytest

from tiltlm.errors import EventError, ExpressionError
from tiltlm.events.parse import parse_event
from tiltlm.events.tokens import contains, matches, special, tokens, word
from tiltlm.events.vocabulary import Vocabulary


def members(event, vocabulary):
    return {vocabulary.text(i) for i in event.mask(vocabulary).nonzero().flatten().tolist()}


def test_897_tokens_of_gpt2_contain_an_x(gpt2_vocabulary):
    mask = contains("x").mask(gpt2_vocabulary)
    assert int(mask.sum()) == 897
    assert round(897 / len(gpt2_vocabulary), 4) == 0.0178
    assert int((contains("x") & ~special()).mask(gpt2_vocabulary).sum()) == 896


@pytest.mark.parametrize("needle", ["x", "é", "th", " a", "\n", "—"])
def test_contains_is_a_search_over_bytes(gpt2_vocabulary, needle):
    expected = [needle.encode() in token for token in gpt2_vocabulary.tokens]
    assert contains(needle).mask(gpt2_vocabulary).tolist() == expected


def test_half_characters_match_neither_letters_nor_their_whole():
    vocabulary = Vocabulary((b"\xc3", b"\xa9", "é".encode(), b"e"))
    assert contains("é").mask(vocabulary).tolist() == [False, False, True, False]
    assert matches(r"\w").mask(vocabulary).tolist() == [False, False, True, True]
    assert matches(r"[\udc80-\udcff]").mask(vocabulary).tolist() == [True, True, False, False]


def test_word_takes_whole_tokens_with_or_without_a_space(gpt2_vocabulary):
    assert members(word("she"), gpt2_vocabulary) == {"she", " she"}
    assert members(word("she", ignore_case=True), gpt2_vocabulary) == {
        *("she", " she", "She", " She"),
        *(m for m in (" SHE", "SHE") if m.encode() in gpt2_vocabulary.tokens),
    }


def test_events_obey_the_laws_of_sets(gpt2_vocabulary):
    draw = random.Random(1)
    for _ in range(10):
        a, b = contains(draw.choice("abcxyz")), matches(draw.choice([r"\d", "^ ", "[A-Z]"]))
        left = ~(a | b)
        right = ~a & ~b
        assert left.mask(gpt2_vocabulary).equal(right.mask(gpt2_vocabulary))
        union = a.mask(gpt2_vocabulary) | b.mask(gpt2_vocabulary)
        assert (a | b).mask(gpt2_vocabulary).equal(union)


@pytest.mark.parametrize(
    "text",
    [
        "contains('x')",
        "contains('x', 'X')",
        "contains('x', ignore_case=True)",
        "matches('^ ?[A-Z]')",
        "word('she', 'her') | word('he')",
        "(contains('a') | contains('b')) & ~special()",
        "~(contains('a') & contains('b'))",
        "tokens(1, 2, 3)",
        "contains('\\'', '\"') | contains('it\\'s \"so\"')",
    ],
)
def test_an_event_written_as_text_reads_back_the_same(text, gpt2_vocabulary):
    event = parse_event(text)
    again = parse_event(str(event))
    assert str(again) == str(event)
    assert again.mask(gpt2_vocabulary).equal(event.mask(gpt2_vocabulary))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "contains.__class__('x')",
        "contains(*['x'])",
        "contains(**{'a': 1})",
        "[contains('x') for _ in 'ab']",
        "lambda: 1",
        "contains('x') and contains('y')",
        "contains('x') + contains('y')",
        "f'{contains}'",
        "contains(x)",
        "contains('x'",
        "",
        "~" * 100_000 + "x",
        "contains('x')\0",
        "contans('x')",
        "contains()",
        "contains('')",
        "contains(3)",
        "contains('x', ignore=True)",
        "matches('(')",
        "tokens(-1)",
        "tokens(1.5)",
        "'x'",
        "contains('x') | 3",
    ],
)
def test_text_that_is_no_event_is_one_clear_error(text):
    with pytest.raises((ExpressionError, EventError)) as caught:
        parse_event(text, where="recipe, line 3")
    assert "recipe, line 3" in str(caught.value)


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(ExpressionError, match="did you mean contains"):
        parse_event("contans('x')")


def test_an_event_without_tokens_is_refused(gpt2_vocabulary):
    with pytest.raises(EventError, match="no token is in the event"):
        contains("xyzzyx").mask(gpt2_vocabulary)


def test_an_event_with_every_token_is_refused(gpt2_vocabulary):
    with pytest.raises(EventError, match="every token"):
        (contains("x") | ~contains("x")).mask(gpt2_vocabulary)


def test_every_token_means_those_that_decode_to_something():
    vocabulary = Vocabulary((b"a", b"b", b""))
    with pytest.raises(EventError, match="every token"):
        matches("[ab]").mask(vocabulary)


def test_a_token_that_does_not_exist_is_refused(gpt2_vocabulary):
    with pytest.raises(EventError, match="50257 does not exist"):
        tokens(50257).mask(gpt2_vocabulary)
