"""Prompts as the text that a server is sent, and the tokens that it cuts that into."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase


def as_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Tokens as text, without control tokens.

    Args:
        tokenizer: of the reference.
        ids: of the tokens.
    """
    special = set(tokenizer.all_special_ids)
    return str(tokenizer.decode([i for i in ids if i not in special]))


def sent_ids(tokenizer: PreTrainedTokenizerBase, own: Sequence[int]) -> list[int] | None:
    """What a server makes of a text: its tokens, after what the tokenizer puts before a text.

    Args:
        tokenizer: of the reference.
        own: the tokens of the text, without control tokens.

    Returns:
        all ids that the server reads; None where it reads the text as other tokens.
    """
    if not own:
        return None
    special = set(tokenizer.all_special_ids)
    cut: list[int] = tokenizer(as_text(tokenizer, own))["input_ids"]
    before = len(cut) - len(own)
    return (
        cut if before >= 0 and cut[before:] == list(own) and set(cut[:before]) <= special else None
    )
