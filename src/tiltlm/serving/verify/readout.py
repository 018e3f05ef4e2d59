"""Which tokens the text of one token may stand for.

A server answers in text. What is seen of a token is a function of it, so the likelihood of what was
seen is the sum over all tokens that look alike; nothing has to be guessed. Tokens that are no text
by themselves (parts of characters, control tokens, the end of a text) are written in different
ways, or not at all, and look all alike here.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.events.vocabulary import Vocabulary

_HALF = "\ufffd"


class Readout:
    r"""From a text to the tokens that are written so.

    Args:
        vocabulary: of the base.

    Attributes:
        strangers: texts that are no token's, with how often each came.

    >>> readout = Readout(Vocabulary((b"a", b" b", b"a", b"\xe2", b"<end>"), frozenset({4})))
    >>> readout.tokens("a").tolist(), readout.tokens("").tolist()
    ([0, 2], [3, 4])
    >>> readout.tokens("c") is None
    True
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        by_text: dict[str, list[int]] = defaultdict(list)
        unreadable = []
        for index, token in enumerate(vocabulary.tokens):
            text = token.decode("utf-8", errors="replace")
            if not text or _HALF in text or index in vocabulary.special_ids:
                unreadable.append(index)
            else:
                by_text[text].append(index)
        self._by_text = {text: np.array(ids) for text, ids in by_text.items()}
        self._unreadable = np.array(unreadable, int)
        self._special = {vocabulary.text(index) for index in vocabulary.special_ids}
        self.strangers: dict[str, int] = defaultdict(int)

    def tokens(self, text: str) -> Array | None:
        """Ids of the tokens that a text may stand for; None where it is no token's.

        Args:
            text: of an answer of one token, as the server gave it.
        """
        if not text or _HALF in text or text in self._special:
            return self._unreadable if len(self._unreadable) else None
        found = self._by_text.get(text)
        if found is None:
            self.strangers[text[:40]] += 1
        return found
