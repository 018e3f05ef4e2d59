"""Log-probabilities as servers write them: as OpenAI and vLLM do, or as llama.cpp does."""

from __future__ import annotations

from collections import Counter
from typing import Any

from transformers import PreTrainedTokenizerBase

from tiltlm.events.vocabulary import Vocabulary

LEAST = -1e3
"""Nats: what is below it stands for minus infinity (vLLM writes −9999)."""


_BY_ID = "token_id:"
"""How vLLM writes a token where it is asked to give ids."""


class ServerFormat:
    """Reads answers, and counts the tokens that could not be told.

    A token that is no text by itself (half a character) or is written like another cannot be told
    from its text; it can where a server gives ids.

    Args:
        tokenizer: the reference's.
        vocabulary: the reference's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> None:
        self._size = len(vocabulary)
        self._ids = _by_text(tokenizer, vocabulary)
        self.known = self.unknown = 0
        self.strangers: Counter[str] = Counter()

    def likeliest(self, choice: Any) -> dict[int, float]:
        """Log-probabilities at the first token of an answer, by id; empty where it has none."""
        told = {}
        for token, value in next(iter(entries(choice)), {}).items():
            index = self._id_of(token)
            if index is None:
                self.unknown += 1
                self.strangers[str(token)] += 1
            else:
                self.known += 1
                told[index] = value
        return told

    def _id_of(self, token: int | str) -> int | None:
        if isinstance(token, str) and token.startswith(_BY_ID):
            number = token.removeprefix(_BY_ID)
            token = int(number) if number.isdigit() else token
        if isinstance(token, int):
            return token if 0 <= token < self._size else None
        return self._ids.get(token)


def entries(choice: Any) -> list[dict[int | str, float]]:
    """The likeliest tokens at each position, as ids where the server gives them."""
    told = choice.logprobs
    content = getattr(told, "content", None)
    if isinstance(content, list):
        shown = [e.get("top_logprobs") for e in content if isinstance(e, dict)]
        return [
            _values({_name(top): top.get("logprob") for top in tops if isinstance(top, dict)})
            for tops in shown
            if isinstance(tops, list)
        ]
    likeliest = getattr(told, "top_logprobs", None)
    if not isinstance(likeliest, list):
        return []
    return [_values(top if isinstance(top, dict) else {}) for top in likeliest]


def _name(entry: dict[str, Any]) -> int | str:
    found = entry.get("id", entry.get("token", ""))
    return found if isinstance(found, int) else str(found)


def _values(tops: dict[Any, Any]) -> dict[int | str, float]:
    """Without what is no log-probability: null, or minus infinity by any name."""
    return {
        token: float(value)
        for token, value in tops.items()
        if isinstance(value, int | float) and LEAST < value <= 0.01
    }


def _by_text(tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> dict[str, int]:
    """Tokens by how a server may write them: as text, or as the vocabulary's own string."""
    counts = Counter(vocabulary.texts)
    found: dict[str, int] = {}
    for index in range(min(len(vocabulary), len(tokenizer))):
        own = tokenizer.convert_ids_to_tokens(index)
        if isinstance(own, str):
            found.setdefault(own, index)
    for index, text in enumerate(vocabulary.texts):
        if text and counts[text] == 1 and index not in vocabulary.special_ids:
            found[text] = index
    # Servers write half a character as this, whichever half it is.
    return {text: index for text, index in found.items() if "\ufffd" not in text}
