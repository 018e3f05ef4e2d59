"""The GPT-2 tokenizer, built from merges that travel with the package: no network, no cache."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from tiltlm.errors import VocabularyError

if TYPE_CHECKING:
    from transformers import GPT2Tokenizer


MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
"""The sum that tiktoken publishes for OpenAI's vocab.bpe (tiktoken_ext/openai_public.py)."""


END_OF_TEXT = "<|endoftext|>"
"""GPT-2's only control token: it begins and ends a text."""


@lru_cache(maxsize=1)
def _read_merges() -> tuple[tuple[str, str], ...]:
    """The pairs of symbols that are merged, in their order."""
    data = resources.files("tiltlm").joinpath("data/gpt2_merges.txt").read_bytes()
    if hashlib.sha256(data).hexdigest() != MERGES_SHA256:
        raise VocabularyError(
            "the byte-pair merges inside the package are damaged (their SHA-256 differs)",
            where="tiltlm/data/gpt2_merges.txt",
            fix="install tiltlm again",
        )
    lines = data.decode("utf-8").split("\n")[1:]  # the first line is '#version: 0.2'
    return tuple((a, b) for a, b in (line.split(" ") for line in lines if line))


def gpt2_tokenizer() -> GPT2Tokenizer:
    """GPT-2's byte-level BPE as a transformers fast tokenizer: 50,257 tokens.

    Ids follow the original encoder.json: 256 bytes (printable ones first), then one token a merge
    in order, then ``<|endoftext|>`` = 50256.

    Raises:
        VocabularyError: the merges that ship with the package are damaged.

    >>> gpt2_tokenizer()("Hello world")["input_ids"]
    [15496, 995]
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2Tokenizer

    merges = _read_merges()
    # GPT-2 lists bytes that print as themselves first, then the stand-ins from U+0100 on.
    alphabet = sorted(ByteLevel.alphabet(), key=lambda c: (ord(c) >= 256, ord(c)))
    names = [*alphabet, *(a + b for a, b in merges), END_OF_TEXT]
    vocab = {name: index for index, name in enumerate(names)}
    pairs: list[Any] = list(merges)
    return GPT2Tokenizer(vocab=vocab, merges=pairs, model_max_length=1024)
