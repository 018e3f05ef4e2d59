import random

import pytest
import torch

from tests.tiny import tiny_tokenizer
from tiltlm.errors import EventError
from tiltlm.events.parse import parse_event
from tiltlm.events.phrase import phrase
from tiltlm.events.tokens import contains
from tiltlm.events.vocabulary import Vocabulary


def brute_force(text: bytes, token: bytes, phrases: list[bytes], whole: bool) -> bool:
    """Whether a phrase ends within the token's bytes, by looking at every place."""
    full = text + token
    for wanted in phrases:
        for begin in range(len(full) - len(wanted) + 1):
            end = begin + len(wanted)
            if full[begin:end] != wanted or end <= len(text):
                continue
            before = full[begin - 1 : begin] or b"\n"
            letter = before.isalnum() or before == b"_" or before[0] > 127
            if not (whole and letter):
                return True
    return False


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_the_tokens_of_a_phrase_are_exactly_those_that_complete_it(seed, whole):
    draw = random.Random(seed)
    letters = "ab_ é"

    def text(longest: int) -> str:
        return "".join(draw.choice(letters) for _ in range(draw.randint(1, longest)))

    pieces = {text(4).encode() for _ in range(20)} | {b"\xc3", b"\xa9", b"a", b"b", b"_", b" "}
    tokens = sorted(pieces)
    phrases = [text(6) for _ in range(draw.randint(1, 4))]
    event = phrase(*phrases, whole=whole).bind(Vocabulary(tuple(tokens)))
    state, so_far = event.start(), b""
    for token in [draw.randrange(len(tokens)) for _ in range(12)]:
        raw = [p.encode() for p in phrases]
        wanted = [brute_force(so_far, t, raw, whole) for t in tokens]
        assert event.mask_at(state).tolist() == wanted
        state, so_far = event.advance(state, token), so_far + tokens[token]


def test_a_phrase_is_found_however_the_text_is_cut():
    vocabulary = Vocabulary.from_tokenizer(tiny_tokenizer())
    event = phrase("a testament to").bind(vocabulary)
    index = {token: i for i, token in enumerate(vocabulary.tokens)}
    for cut in (["a", " ", "t", "e", "s", "t", "a", "m", "e", "n", "t", " ", "t"],):
        state = event.read([index[piece.encode()] for piece in cut])[-1]
        assert event.mask_at(state)[index[b"o"]]
        assert not event.mask_at(state)[index[b"a"]]


def test_case_is_ignored_on_request():
    vocabulary = Vocabulary((b"A", b"b", b"c"))
    event = phrase("ab", ignore_case=True).bind(vocabulary)
    assert event.mask_at(event.read([0])[-1]).tolist() == [False, True, False]


def test_phrases_join_with_plain_events():
    vocabulary = Vocabulary((b"a", b"b", b"x", b"c"))
    event = parse_event("phrase('ab') | contains('x')").bind(vocabulary)
    assert event.mask_at(event.read([0])[-1]).tolist() == [False, True, True, False]
    assert event.mask_at(event.read([3])[-1]).tolist() == [False, False, True, False]
    inverse = (~phrase("ab")).bind(vocabulary)
    assert inverse.mask_at(inverse.read([0])[-1]).tolist() == [True, False, True, True]


def test_a_phrase_has_no_fixed_mask():
    with pytest.raises(EventError, match="depends on the context"):
        phrase("ab").mask(Vocabulary((b"a", b"b")))


def test_a_phrase_whose_bytes_no_token_has_is_refused():
    with pytest.raises(EventError, match="no text"):
        phrase("é").bind(Vocabulary((b"a", b"b")))


def test_lists_of_phrases_are_laid_out_flat():
    assert str(phrase(["ab", "c"], "d")) == "phrase('ab', 'c', 'd')"
    assert str(parse_event("phrase(['ab', 'c'], whole=True)")) == "phrase('ab', 'c', whole=True)"


def test_word_lists_come_from_files(tmp_path):
    path = tmp_path / "words.json"
    path.write_text('{"description": "animals", "animals": ["fox", ["ox"]]}')
    event = parse_event(f"word(lines({str(path)!r}))")
    assert str(event) == "word('fox', 'ox')"
    with pytest.raises(EventError, match="cannot read"):
        parse_event("word(lines('nowhere.json'))")


def test_eight_thousand_phrases_are_built_in_seconds_and_asked_in_no_time():
    draw = random.Random(0)
    many = ["".join(draw.choice("abcdefgh ") for _ in range(14)) for _ in range(8000)]
    vocabulary = Vocabulary.from_tokenizer(tiny_tokenizer())
    event = phrase(*many).bind(vocabulary)
    state = event.read(list(many[0].encode()[:3]) and [vocabulary.tokens.index(b"a")])[-1]
    assert event.mask_at(state).dtype == torch.bool


def test_contains_stays_a_fixed_event():
    vocabulary = Vocabulary((b"x", b"y"))
    assert not (contains("x") | contains("z")).bind(vocabulary).depends_on_context
