"""Continue batches of prompts of different lengths in the passes of one.

A pass over a few rows takes about as long as one over many, since the weights must be read for
either. Each batch keeps draws of its own, so it gets the tokens that it would get by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel

from tiltlm.models.sampling import SamplingOptions, generated, sample
from tiltlm.models.seeding import Stream
from tiltlm.models.structure import context_length, input_device


def sample_together(
    model: PreTrainedModel, batches: Sequence[torch.Tensor], new_tokens: int, seeds: Sequence[int]
) -> list[torch.Tensor]:
    """Continue each batch as `sample` does by itself, up to rounding.

    Args:
        model: as for `sample`.
        batches: (batch, length) token ids each.
        new_tokens: how many to draw for each prompt.
        seeds: of the draws of each batch; all at temperature 1, over all tokens.

    Returns:
        (batch, new_tokens) token ids for each.

    Raises:
        ModelError: the model's logits are not finite.
    """
    window, longest = context_length(model), max(batch.shape[1] for batch in batches)
    fits = window is None or longest + new_tokens <= window
    if len(batches) == 1 or not fits:
        return [
            sample(model, batch, new_tokens, SamplingOptions(seed=seed))
            for batch, seed in zip(batches, seeds, strict=True)
        ]
    text, mask = (
        torch.cat([_padded(rows, longest) for rows in both]).to(input_device(model))
        for both in (batches, [torch.ones_like(batch) for batch in batches])
    )
    config = GenerationConfig(do_sample=False, max_new_tokens=new_tokens, pad_token_id=0)
    draws = _DrawsApart([len(batch) for batch in batches], seeds)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            drawn = generated(model, text, mask, config, [draws])[:, longest:]
    finally:
        model.train(training)
    parts = drawn.split([len(batch) for batch in batches])
    return [part.to(batch.device) for part, batch in zip(parts, batches, strict=True)]


def _padded(rows: torch.Tensor, length: int) -> torch.Tensor:
    """(batch, …) rows with zeros on the left up to a length."""
    return torch.nn.functional.pad(rows, (length - rows.shape[1], 0))


class _DrawsApart(LogitsProcessor):
    """A logits processor that draws, and leaves nothing but what it has drawn.

    Args:
        sizes: rows of each batch.
        seeds: of the draws of each.
    """

    def __init__(self, sizes: Sequence[int], seeds: Sequence[int]) -> None:
        self._sizes, self._streams = list(sizes), [Stream(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(rows, V) logits of all batches; −∞ but at the token drawn for each row."""
        parts = scores.split(self._sizes)
        drawn = torch.cat(
            [s.draw(part.softmax(-1)) for s, part in zip(self._streams, parts, strict=True)]
        )
        scores.fill_(-torch.inf).scatter_(1, drawn[:, None], 0.0)
        return scores
