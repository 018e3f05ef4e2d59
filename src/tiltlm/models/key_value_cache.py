"""Keys and values of a whole text in memory that is taken once, not copied for every token.

transformers' cache of growing size concatenates at each token, which copies all that is there; its
cache of fixed size lets attention go over the whole length from the first token on.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.generation.utils import ALL_CACHE_NAMES


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, in the first part of memory with room for all that will come.

    Args:
        length: tokens that there is room for; beyond it the cache goes on as transformers' does.
    """

    def __init__(self, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._length = length

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the memory, for the shapes of the first (batch, heads, tokens, width)."""
        super().lazy_initialization(key_states, value_states)
        self._room = [
            states.new_empty((*states.shape[:2], self._length, states.shape[3]))
            for states in (key_states, value_states)
        ]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in what is new.

        Args:
            key_states: (batch, heads, tokens, width).
            value_states: the same.
            args: what transformers gives besides, of which nothing is needed.
            kwargs: the same.

        Returns:
            keys and values of all tokens so far.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin = self.get_seq_length()
        end = begin + key_states.shape[-2]
        if end > self._length:
            return super().update(key_states, value_states)
        parts = []
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, begin:end] = states
            parts.append(room[:, :, :end])
        self.keys, self.values = parts
        return parts[0], parts[1]


def with_room(model: PreTrainedModel, length: int) -> dict[str, DynamicCache]:
    """What ``generate`` is given for a text of so many tokens.

    Args:
        model: that goes on with the text, with or without an adapter.
        length: of the prompt and all that is drawn.

    Returns:
        a cache, by the name that ``generate`` knows it by; nothing where the model keeps anything
        but the keys and values of all tokens, which it then makes room for itself.
    """
    base: Any = getattr(model, "get_base_model", lambda: model)()
    if base.config.is_encoder_decoder or not base._supports_default_dynamic_cache():
        return {}
    cache = DynamicCache(config=base.config.get_text_config(decoder=True))
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return {}
    cache.layers = [RoomyLayer(length) for _ in cache.layers]
    return {ALL_CACHE_NAMES[0]: cache}
