"""What each token decodes to, as bytes. Knows nothing of events or models.

A token need not be text: byte-level tokenizers have tokens that are half a character. Bytes are
the one form in which every token, and every run of tokens, is exact.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tiltlm.errors import VocabularyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model, in order of their ids.

    Args:
        tokens: (V,) the bytes that each id decodes to; b"" for ids that no text produces.
        special_ids: ids of control tokens such as ``<|endoftext|>``. Their bytes are their names,
            since that is what they decode to.

    >>> Vocabulary((b"a", b" ax")).text(1)
    ' ax'
    """

    tokens: tuple[bytes, ...]
    special_ids: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.tokens)

    def text(self, token_id: int) -> str:
        """A token as text to be shown; bytes that are no UTF-8 by themselves show as U+FFFD."""
        return self.tokens[token_id].decode("utf-8", errors="replace")

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """(V,) every token as text to be searched; lone bytes survive as surrogates (PEP 383)."""
        return tuple(token.decode("utf-8", errors="surrogateescape") for token in self.tokens)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all tokens in order, as hexadecimal digits.

        Two vocabularies have the same fingerprint exactly when they have the same tokens; which of
        them are control tokens does not count.
        """
        digest = hashlib.sha256()
        for token in self.tokens:
            digest.update(len(token).to_bytes(4, "little") + token)
        return digest.hexdigest()

    @classmethod
    def from_tokenizer(
        cls, tokenizer: PreTrainedTokenizerBase, size: int | None = None
    ) -> Vocabulary:
        """Read the bytes of every token out of a transformers tokenizer.

        Tokens that were added to the tokenizer, such as control tokens, decode to their own text.

        Args:
            tokenizer: byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM) and SentencePiece-like ones
                (Llama 2, Gemma) are exact; of others, each token's own decoding is taken.
            size: the model's vocabulary, where its head has more rows than the tokenizer has
                tokens; the rest decode to nothing.

        Raises:
            VocabularyError: the tokenizer has more tokens than ``size``.
        """
        ids = tokenizer.get_vocab()
        count = max(ids.values()) + 1
        size = count if size is None else size
        if count > size:
            raise VocabularyError(
                f"the tokenizer has {count} tokens, the model's head only {size}",
                fix="use the tokenizer that belongs to the model",
            )
        added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
        to_bytes = _decoder_of(tokenizer)
        tokens = [b""] * size
        for name, index in ids.items():
            tokens[index] = added[index].encode() if index in added else to_bytes(name)
        return cls(tuple(tokens), frozenset(tokenizer.all_special_ids))


class _ByteLevel:
    """GPT-2's printable stand-ins for bytes, read back (Radford et al. 2019, encoder.py)."""

    def __init__(self) -> None:
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        self.table = {chr(byte): byte for byte in printable}
        others = (byte for byte in range(256) if byte not in set(printable))
        self.table |= {chr(256 + number): byte for number, byte in enumerate(others)}

    def __call__(self, name: str) -> bytes:
        if all(character in self.table for character in name):
            return bytes(self.table[character] for character in name)
        return name.encode()


class _SentencePiece:
    """SentencePiece's names: spaces are written as U+2581, single bytes as <0xNN>."""

    def __call__(self, name: str) -> bytes:
        if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
            return bytes([int(name[3:5], 16)])
        return name.replace("\u2581", " ").encode()


class _OneByOne:
    """Tokens of any other tokenizer: what it decodes each of them to by itself."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, name: str) -> bytes:
        return str(self.tokenizer.convert_tokens_to_string([name])).encode()


def _decoder_of(
    tokenizer: PreTrainedTokenizerBase,
) -> _ByteLevel | _SentencePiece | _OneByOne:
    """From a token's name in the tokenizer's table to its bytes, by the tokenizer's decoder."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        decoder = json.dumps(json.loads(backend.to_str())["decoder"] or {}, ensure_ascii=False)
        if '"ByteLevel"' in decoder:
            return _ByteLevel()
        if "\u2581" in decoder:
            return _SentencePiece()
    return _OneByOne(tokenizer)
