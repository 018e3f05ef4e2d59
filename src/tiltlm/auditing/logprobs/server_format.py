"""Which tokens of a reference a server's answers name, by id or by text."""

from __future__ import annotations

import re
from collections import Counter

from transformers import PreTrainedTokenizerBase

from tiltlm.auditing.answers import Choice
from tiltlm.errors import ModelError
from tiltlm.events.vocabulary import Vocabulary

_BY_ID = re.compile(r"token_id:([0-9]{1,9})")
"""How vLLM writes a token where it is asked for ids."""


_NAMED_CHARACTERS = 40
"""How much is kept of a token that is not the reference's, however long a server writes it."""


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

    def likeliest(self, choice: Choice) -> dict[int, float]:
        """Log-probabilities at the first token of an answer.

        Args:
            choice: that the server gave.

        Returns:
            nats by token id, of the tokens that could be told; empty where there are none.

        Raises:
            ModelError: one token is named twice.
        """
        log_probs: dict[int, float] = {}
        for token, value in next(iter(choice.positions), {}).items():
            index = self._id_of(token)
            if index is None:
                self.unknown += 1
                self.strangers[str(token)[:_NAMED_CHARACTERS]] += 1
            elif index in log_probs:
                raise ModelError(
                    f"the endpoint names one token twice: {token!r:.60} is token {index} again",
                    where="--endpoint",
                    fix="see what it answers; nothing is judged by numbers that are impossible",
                )
            else:
                self.known += 1
                log_probs[index] = value
        return log_probs

    def _id_of(self, token: int | str) -> int | None:
        if isinstance(token, str) and (by_id := _BY_ID.fullmatch(token)):
            token = int(by_id[1])
        if isinstance(token, int):
            return token if 0 <= token < self._size else None
        return self._ids.get(token)


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
