import hashlib
import importlib.util
import random
from importlib import resources
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tiltlm.errors import VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models import gpt2
from tiltlm.models.gpt2 import MERGES_SHA256, gpt2_tokenizer


def any_unicode(seed: int, length: int) -> str:
    draw = random.Random(seed)
    points = (draw.choice([draw.randrange(128), draw.randrange(0x10FFFF)]) for _ in range(length))
    return "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)


def test_the_merges_are_those_whose_sum_tiktoken_publishes():
    spec = importlib.util.find_spec("tiktoken_ext.openai_public")
    if spec is None or spec.origin is None:
        pytest.skip("tiktoken is not installed")
    data = resources.files("tiltlm").joinpath("data/gpt2_merges.txt").read_bytes()
    found = hashlib.sha256(data).hexdigest()
    assert found == MERGES_SHA256
    assert f'vocab_bpe_hash="{found}"' in Path(spec.origin).read_text()


def test_damaged_merges_are_refused(monkeypatch):
    monkeypatch.setattr(gpt2, "MERGES_SHA256", "0" * 64)
    gpt2._read_merges.cache_clear()
    with pytest.raises(VocabularyError, match="damaged"):
        gpt2_tokenizer()
    gpt2._read_merges.cache_clear()


def test_there_are_50257_tokens_and_the_last_is_end_of_text():
    tokenizer = gpt2_tokenizer()
    assert len(tokenizer) == 50257
    assert tokenizer.convert_ids_to_tokens(50256) == "<|endoftext|>"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world", [15496, 995]),
        (" Hello world", [18435, 995]),
        ("<|endoftext|>", [50256]),
        ("naïve café 世界 🎉", [2616, 38776, 40304, 220, 10310, 244, 45911, 234, 12520, 236, 231]),
    ],
)
def test_known_texts_have_their_published_ids(text, ids):
    assert gpt2_tokenizer()(text)["input_ids"] == ids


def test_any_unicode_text_comes_back_whole(gpt2_vocabulary):
    tokenizer = gpt2_tokenizer()
    for seed in range(50):
        text = any_unicode(seed, 80)
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert b"".join(gpt2_vocabulary.tokens[i] for i in ids).decode() == text


def test_ids_agree_with_the_tiktoken_merge_algorithm_on_real_text(shared_data):
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken_ext.openai_public import r50k_pat_str

    tokenizer = gpt2_tokenizer()
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    ranks = {token: i for i, token in enumerate(vocabulary.tokens[:-1])}
    reference = tiktoken.Encoding(
        "gpt2-local",
        pat_str=r50k_pat_str,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50256},
    )
    text = (shared_data / "tinyshakespeare.txt").read_text()[:200_000]
    text += (shared_data / "wikitext2-valid.txt").read_text()[:200_000]
    assert tokenizer(text)["input_ids"] == reference.encode(text, allowed_special=set())


def test_it_saves_and_loads_as_any_tokenizer(tmp_path):
    tokenizer = gpt2_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "x marks the spot\n\n  twice ✓"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert Vocabulary.from_tokenizer(again) == Vocabulary.from_tokenizer(tokenizer)


def test_a_tokenizer_larger_than_the_head_is_refused():
    with pytest.raises(VocabularyError, match="50257 tokens, the model's head only 100"):
        Vocabulary.from_tokenizer(gpt2_tokenizer(), size=100)


def test_rows_beyond_the_tokenizer_decode_to_nothing():
    vocabulary = Vocabulary.from_tokenizer(gpt2_tokenizer(), size=50304)
    assert len(vocabulary) == 50304
    assert set(vocabulary.tokens[50257:]) == {b""}
