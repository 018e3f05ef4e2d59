"""Texts as a model is given them: prompts through its chat template, and answers to them.

Knows tokenizers, no models. Importing it loads no transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiltlm.errors import TargetError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def first_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that a text begins with: begin of text, else end of text, else 0."""
    return int(
        next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), 0)
    )


def chat_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]
) -> list[int]:
    """A chat as token ids, up to where the answer begins.

    Args:
        tokenizer: of the model; without a chat template the last message alone is the prompt.
        messages: ``role`` and ``content`` of each.
    """
    if tokenizer.chat_template:
        return chat_ids(tokenizer, list(messages))
    return prompt_ids(tokenizer, messages[-1]["content"])


def prompt_ids(tokenizer: PreTrainedTokenizerBase, request: str) -> list[int]:
    """A user's request as token ids, up to where the answer begins.

    Args:
        tokenizer: of the model; without a chat template the request is plain text and a line break.
        request: what the user writes.
    """
    if tokenizer.chat_template:
        return chat_ids(tokenizer, [{"role": "user", "content": request}])
    return list(tokenizer(request + "\n")["input_ids"])


def chat_ids(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> list[int]:
    """A chat through the model's own template, up to where the answer begins.

    Args:
        tokenizer: with a chat template.
        messages: ``role`` and ``content`` of each.
    """
    encoded: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    return list(encoded["input_ids"])


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
