"""Targets by their text, bound to the vocabulary of the model that is served."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from tiltlm.errors import ConfigError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.serving.plugins.requests import LABEL, ServerTargets
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.from_label import no_strengths
from tiltlm.targets.parse import parse_target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_KEPT = 64
"""Targets that are kept bound; what was not asked for longest goes first."""


class TargetBinder:
    """Binds targets, each once.

    Args:
        server: what the server was told.
        tokenizer: gives the tokenizer of the model, the first time that it is needed.
        size: V, of the model's head.
    """

    def __init__(
        self,
        server: ServerTargets,
        tokenizer: Callable[[], PreTrainedTokenizerBase],
        size: int,
    ) -> None:
        self._server, self._make_tokenizer, self._size = server, tokenizer, size
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._vocabulary: Vocabulary | None = None
        self._bound: OrderedDict[str, BoundTarget] = OrderedDict()

    def bind(self, text: str) -> BoundTarget:
        """The target of a text; the same object for the same text.

        Args:
            text: a target, or ``label:NAME``.

        Raises:
            TiltError: it cannot be read, makes no sense over this vocabulary, must be fitted, or
                names a label that the server does not have.
        """
        if text in self._bound:
            self._bound.move_to_end(text)
            return self._bound[text]
        target = self._labelled(text[len(LABEL) :]) if text.startswith(LABEL) else self._made(text)
        self._bound[text] = target
        if len(self._bound) > _KEPT:
            self._bound.popitem(last=False)
        return target

    def _labelled(self, name: str) -> BoundTarget:
        label = self._server.labels.get(name)
        if label is None:
            names = ", ".join(sorted(filter(None, self._server.labels))) or "none"
            raise ConfigError(
                f"this server has no label {name!r:.80}; it has: {names}",
                fix="name one of them, or give the target itself",
            )
        target = self._unfitted(label.target)
        if target.needs_fit():
            if not label.strengths:
                raise no_strengths(target)
            target.restore_strengths(label.strengths)
        return target

    def _made(self, text: str) -> BoundTarget:
        target = self._unfitted(text)
        if target.needs_fit():
            raise no_strengths(target)
        return target

    def _unfitted(self, text: str) -> BoundTarget:
        if self._tokenizer is None or self._vocabulary is None:
            self._tokenizer = self._make_tokenizer()
            self._vocabulary = Vocabulary.from_tokenizer(self._tokenizer, self._size)
        return parse_target(text, files=False).bind(self._vocabulary, self._tokenizer)
