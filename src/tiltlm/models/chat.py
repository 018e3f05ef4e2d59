"""Texts as a model is given them: prompts through its chat template, and answers to them.

Knows tokenizers, no models. Importing it loads no transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.models.chat_templates import render_chats

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def first_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that a text begins with: begin of text, else end of text, else 0."""
    return int(
        next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), 0)
    )


def chat_prompts(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Sequence[Mapping[str, str]]]
) -> list[list[int]]:
    """Chats as token ids, each up to where the answer begins.

    Args:
        tokenizer: of the model; without a chat template the last message alone, as plain text and a
            line break, is the prompt.
        chats: ``role`` and ``content`` of the messages of each.

    Raises:
        ModelError: the model's chat template cannot be used.
    """
    if not tokenizer.chat_template:
        return [list(tokenizer(chat[-1]["content"] + "\n")["input_ids"]) for chat in chats]
    texts = render_chats(tokenizer, chats)
    return [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def request_prompts(tokenizer: PreTrainedTokenizerBase, requests: Sequence[str]) -> list[list[int]]:
    """Requests of a user as token ids, each up to where the answer begins.

    Args:
        tokenizer: of the model.
        requests: what the user writes.

    Raises:
        ModelError: the model's chat template cannot be used.
    """
    return chat_prompts(tokenizer, [[{"role": "user", "content": text}] for text in requests])


def answer_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """An answer as the model would write it, closed by the token that ends an answer.

    Raises:
        TargetError: the tokenizer has no such token.
    """
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if tokenizer.eos_token_id is None:
        raise TargetError(
            "the tokenizer has no token that ends an answer",
            fix="use a model whose tokenizer has an end-of-text token",
        )
    return [*ids, int(tokenizer.eos_token_id)]
