"""Chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from tiltlm.errors import TargetError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def first_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """What a text begins with."""
    return int(
        next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), 0)
    )


def chat_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]
) -> list[int]:
    """A chat up to where the answer begins; without a chat template its last message alone."""
    if tokenizer.chat_template:
        return chat_ids(tokenizer, list(messages))
    return prompt_ids(tokenizer, messages[-1]["content"])


def prompt_ids(tokenizer: PreTrainedTokenizerBase, request: str) -> list[int]:
    """A request through the chat template, up to where the answer begins; plain text without."""
    if tokenizer.chat_template:
        return chat_ids(tokenizer, [{"role": "user", "content": request}])
    return list(tokenizer(request + "\n")["input_ids"])


def chat_ids(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> list[int]:
    """A chat through the model's template, up to where the answer begins."""
    found: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    return list(found["input_ids"])


def answer_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """An answer as the model would write it, closed by the token that ends an answer."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if tokenizer.eos_token_id is None:
        raise TargetError("the tokenizer has no token that ends an answer")
    return [*ids, int(tokenizer.eos_token_id)]
