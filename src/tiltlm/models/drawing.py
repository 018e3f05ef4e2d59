"""Draw one token a row: on a processor by one random number a row, not by one for every token.

`torch.multinomial` draws an exponential for each of a row's probabilities, which on a processor
takes a hundred times as long as the sums that one uniform number is looked up in. A GPU has enough
of both, and its sums along a row may differ from run to run, so there `torch.multinomial` stays.
"""

from __future__ import annotations

from typing import cast

import torch
from torch.nn.functional import pad
from transformers import LogitsProcessor, LogitsProcessorList

from tiltlm.models.seeding import Stream

_BLOCK = 256
"""Probabilities whose sum is looked at first; only within one such block is each looked at."""


def draw(probabilities: torch.Tensor) -> torch.Tensor:
    """Draw one token for each row, by the device's random state.

    Args:
        probabilities: (batch, V) float32, at least 0; a row need not sum to 1.

    Returns:
        (batch,) token ids, none of probability 0.
    """
    if probabilities.device.type != "cpu":
        return torch.multinomial(probabilities, 1)[:, 0]
    batch, vocabulary = probabilities.shape
    blocks = pad(probabilities, (0, -vocabulary % _BLOCK)).view(batch, -1, _BLOCK)
    upto = blocks.sum(-1).double().cumsum(-1)
    at = torch.rand(batch, 1, dtype=torch.float64) * upto[:, -1:]
    block = torch.searchsorted(upto, at, right=True)
    left = at - pad(upto, (1, 0)).gather(1, block)
    inside = blocks[torch.arange(batch), block[:, 0]].double().cumsum(-1)
    # The block's own sum was rounded: what is left may be a little more than there is in it.
    last = inside[:, -1:].nextafter(inside.new_zeros(()))
    token = torch.searchsorted(inside, torch.minimum(left, last), right=True)
    return (block * _BLOCK + token)[:, 0]


class Draws(LogitsProcessor):
    """A logits processor that draws, and leaves nothing but what it has drawn.

    Args:
        warpers: of the logits, before they are drawn by.
        stream: of random numbers; None for those of the device's own state.
    """

    def __init__(self, warpers: LogitsProcessorList, stream: Stream | None = None) -> None:
        self._warpers = warpers
        self._stream = stream

    def tokens(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(batch,) token ids, drawn by (batch, V) logits after (batch, length) ids."""
        probabilities = self._warpers(input_ids, scores).softmax(-1)  # type: ignore[arg-type]
        if self._stream is None:
            return draw(probabilities)
        with self._stream.going_on(probabilities.device):
            return draw(probabilities)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(batch, V) logits that are −∞ but at the token drawn for each row."""
        return only(self.tokens(input_ids, scores), scores)


def only(drawn: torch.Tensor, scores: torch.Tensor) -> torch.FloatTensor:
    """Logits by which nothing but the drawn tokens can come.

    Args:
        drawn: (batch,) token ids.
        scores: (batch, V) logits that they were drawn by.

    Returns:
        (batch, V), −∞ but at the token drawn for each row.
    """
    # What came in may be one row that stands for all, which cannot be written to.
    left = scores.new_full(scores.shape, -torch.inf).scatter_(1, drawn[:, None], 0.0)
    return cast("torch.FloatTensor", left)
