"""Log-probabilities as servers write them: as OpenAI and vLLM do, or as llama.cpp does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedTokenizerBase

from tiltlm.vocabulary import Vocabulary

LEAST = -1e3
"""Nats: what is below it stands for minus infinity (vLLM writes −9999)."""

_BY_ID = "token_id:"
"""How vLLM writes a token where it is asked to give ids."""


class Shown:
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

    def positions(self, choice: Any) -> Iterator[tuple[int | None, dict[int, float]]]:
        """At each position the token written, None where it cannot be told, and those likeliest."""
        for written, tops in entries(choice):
            told = {}
            for token, value in tops.items():
                index = self._id_of(token)
                if index is None:
                    self.unknown += 1
                    self.strangers[str(token)] += 1
                else:
                    self.known += 1
                    told[index] = value
            yield self._id_of(written), told

    def _id_of(self, token: int | str) -> int | None:
        if isinstance(token, str) and token.startswith(_BY_ID):
            number = token.removeprefix(_BY_ID)
            token = int(number) if number.isdigit() else token
        if isinstance(token, int):
            return token if 0 <= token < self._size else None
        return self._ids.get(token)


def entries(choice: Any) -> list[tuple[int | str, dict[int | str, float]]]:
    """At each position the token and the likeliest ones, as ids where the server gives them."""
    told = choice.logprobs
    content = getattr(told, "content", None)
    if isinstance(content, list):
        found = []
        for entry in content:
            if isinstance(entry, dict) and isinstance(entry.get("top_logprobs"), list):
                tops = [top for top in entry["top_logprobs"] if isinstance(top, dict)]
                found.append((_name(entry), _values({_name(t): t.get("logprob") for t in tops})))
        return found
    tokens, likeliest = (getattr(told, name, None) for name in ("tokens", "top_logprobs"))
    if not isinstance(tokens, list) or not isinstance(likeliest, list):
        return []
    pairs = zip(tokens, likeliest, strict=False)
    return [(token, _values(top if isinstance(top, dict) else {})) for token, top in pairs]


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
