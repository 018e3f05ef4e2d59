from tiltlm.events.phrase import phrase
from tiltlm.events.tokens import contains, matches, word
from tiltlm.events.variants import accidents, variants
from tiltlm.events.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    (b"possible", b" possible", b" Possible", b" impossible", b"POSSIBLE", b"x")
)


def test_variants_say_which_forms_of_a_word_are_in_the_event_and_which_are_not():
    inside = {v.text: v.inside for v in variants(word("possible"), VOCABULARY)}
    assert inside["possible"] is True
    assert inside[" possible"] is True
    assert inside[" Possible"] is False
    assert inside["POSSIBLE"] is False
    assert inside["Possible"] is None


def test_accidents_are_the_tokens_that_hold_the_text_inside_a_longer_word():
    assert accidents(contains("possible"), VOCABULARY) == [3]
    assert accidents(word("possible"), VOCABULARY) == []
    assert accidents(word("x") | contains("possible"), VOCABULARY) == [3]


def test_patterns_have_no_variants_and_phrases_are_asked_at_the_start():
    assert variants(matches("x"), VOCABULARY) == []
    assert any(v.inside for v in variants(phrase("possible"), VOCABULARY))
