"""Log-probabilities as servers write them: as OpenAI and vLLM do, or as llama.cpp does."""

from __future__ import annotations

from collections import Counter
from typing import Any

from transformers import PreTrainedTokenizerBase

from tiltlm.events.vocabulary import Vocabulary

SMALLEST_LOG_PROB = -1e3
"""Nats: a value below it stands for minus infinity (vLLM writes −9999)."""


_LARGEST_LOG_PROB = 0.01
"""Nats: a value above it is no log-probability; rounding may take one a little above 0."""


_ID_PREFIX = "token_id:"
"""What vLLM writes before a token's id where it is asked for ids."""


class ServerFormat:
    """Finds out which tokens of the reference a server's answers name.

    A token that is no text by itself (half a character), or that is written like another, cannot
    be told from its text; it can where a server gives ids.

    Args:
        tokenizer: of the reference.
        vocabulary: of the reference.

    Attributes:
        known: tokens named so far that are the reference's.
        unknown: tokens named so far that are not, or could not be told.
        strangers: the latter, with how often each was named.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> None:
        self._size = len(vocabulary)
        self._ids = _by_text(tokenizer, vocabulary)
        self.known = self.unknown = 0
        self.strangers: Counter[str] = Counter()

    def likeliest(self, choice: Any) -> dict[int, float]:
        """Log-probabilities at the first token of an answer.

        Args:
            choice: one choice of an answer of the completions API.

        Returns:
            nats by token id, of the tokens that could be told; empty where there are none.
        """
        log_probs = {}
        for token, value in next(iter(entries(choice)), {}).items():
            index = self._id_of(token)
            if index is None:
                self.unknown += 1
                self.strangers[str(token)] += 1
            else:
                self.known += 1
                log_probs[index] = value
        return log_probs

    def _id_of(self, token: int | str) -> int | None:
        if isinstance(token, str) and token.startswith(_ID_PREFIX):
            number = token.removeprefix(_ID_PREFIX)
            token = int(number) if number.isdigit() else token
        if isinstance(token, int):
            return token if 0 <= token < self._size else None
        return self._ids.get(token)


def entries(choice: Any) -> list[dict[int | str, float]]:
    """The likeliest tokens at each position of an answer.

    Args:
        choice: one choice of an answer of the completions API, in the form of OpenAI and vLLM
            (``top_logprobs``) or of llama.cpp (``content``).

    Returns:
        nats by token for each position; a token is its id where the server gives ids, else its
        text. Empty where there are no log-probabilities.
    """
    logprobs = choice.logprobs
    content = getattr(logprobs, "content", None)
    if isinstance(content, list):
        lists = [entry.get("top_logprobs") for entry in content if isinstance(entry, dict)]
        return [
            _finite({_name(top): top.get("logprob") for top in tops if isinstance(top, dict)})
            for tops in lists
            if isinstance(tops, list)
        ]
    likeliest = getattr(logprobs, "top_logprobs", None)
    if not isinstance(likeliest, list):
        return []
    return [_finite(top if isinstance(top, dict) else {}) for top in likeliest]


def _name(entry: dict[str, Any]) -> int | str:
    name = entry.get("id", entry.get("token", ""))
    return name if isinstance(name, int) else str(name)


def _finite(tops: dict[Any, Any]) -> dict[int | str, float]:
    """The same without what is no log-probability: null, or minus infinity by any name."""
    return {
        token: float(value)
        for token, value in tops.items()
        if isinstance(value, int | float) and SMALLEST_LOG_PROB < value <= _LARGEST_LOG_PROB
    }


def _by_text(tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> dict[str, int]:
    """Token ids by how a server may write them: as text, or as the vocabulary's own string."""
    counts = Counter(vocabulary.texts)
    ids: dict[str, int] = {}
    for index in range(min(len(vocabulary), len(tokenizer))):
        own = tokenizer.convert_ids_to_tokens(index)
        if isinstance(own, str):
            ids.setdefault(own, index)
    for index, text in enumerate(vocabulary.texts):
        if text and counts[text] == 1 and index not in vocabulary.special_ids:
            ids[text] = index
    # Servers write half a character as U+FFFD, whichever half it is.
    return {text: index for text, index in ids.items() if "\ufffd" not in text}
