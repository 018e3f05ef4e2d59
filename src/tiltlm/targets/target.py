"""Which distribution: what the user wants the next token's probabilities to be.

A `Target` is written down without a model; `bind` fixes it to a vocabulary, and the `BoundTarget`
of `bound` gives log-probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.bound import BoundTarget

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Target(ABC):
    """The wanted distribution of the next token. ``str(target)`` is text that reads back."""

    @abstractmethod
    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundTarget:
        """Fix the target to a vocabulary.

        Args:
            vocabulary: of the model.
            tokenizer: needed by targets about whole strings.

        Raises:
            EventError: an event matches no token, or every token.
            TargetError: what results is no distribution.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def sentence(self) -> str:
        """The target in words."""

    @property
    def asks_nothing(self) -> bool:
        """Whether the target is the reference itself, so that there is nothing to realise."""
        return False
