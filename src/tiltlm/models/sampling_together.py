"""Continue several batches, of different lengths or drawn in different ways, in the passes of one.

A pass over a few rows takes about as long as one over many, since the weights must be read for
either. Each batch keeps draws of its own, so it gets the tokens that it would get by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel

from tiltlm.models.drawing import Draws, only
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.precision import lower_precision
from tiltlm.models.sampling import SamplingOptions, generated, sample
from tiltlm.models.seeding import Stream
from tiltlm.models.structure import context_length, input_device
from tiltlm.progress import Advance


def sample_together(
    model: PreTrainedModel,
    batches: Sequence[torch.Tensor],
    new_tokens: int,
    options: Sequence[SamplingOptions],
    advance: Advance | None = None,
    processor: LogitsProcessor | None = None,
) -> list[torch.Tensor]:
    """Continue each batch as `sample` does by itself, up to rounding.

    Args:
        model: as for `sample`.
        batches: (batch, length) token ids each.
        new_tokens: how many to draw for each prompt.
        options: of each batch; all of one precision.
        advance: told how many tokens of each sequence are done.
        processor: as for `sample`; for batches of one length, since it would read padding.

    Returns:
        (batch, new_tokens) token ids for each.

    Raises:
        ModelError: the model's logits are not finite.
    """
    window, longest = context_length(model), max(batch.shape[1] for batch in batches)
    fits = window is None or longest + new_tokens <= window
    if len(batches) == 1 or not fits:
        drawn_apart = []
        for batch, chosen in zip(batches, options, strict=True):
            drawn_apart.append(sample(model, batch, new_tokens, chosen, processor=processor))
            if advance:
                advance(new_tokens * len(drawn_apart) // len(batches))
        return drawn_apart
    text, mask = (
        torch.cat([_padded(rows, longest) for rows in both]).to(input_device(model))
        for both in (batches, [torch.ones_like(batch) for batch in batches])
    )
    config = GenerationConfig(do_sample=False, max_new_tokens=new_tokens, pad_token_id=0)
    processors = [*([processor] if processor else []), _DrawsApart(batches, options)]
    with evaluating(model), torch.no_grad(), lower_precision(model, options[0].precision):
        drawn = generated(model, text, mask, config, processors, advance)[:, longest:]
    parts = drawn.split([len(batch) for batch in batches])
    return [part.to(batch.device) for part, batch in zip(parts, batches, strict=True)]


def _padded(rows: torch.Tensor, length: int) -> torch.Tensor:
    """(batch, …) rows with zeros on the left up to a length."""
    return torch.nn.functional.pad(rows, (length - rows.shape[1], 0))


class _DrawsApart(LogitsProcessor):
    """`Draws` for several batches, each in a way of its own.

    Args:
        batches: whose rows follow each other.
        options: of each.
    """

    def __init__(self, batches: Sequence[torch.Tensor], options: Sequence[SamplingOptions]) -> None:
        self._sizes = [len(batch) for batch in batches]
        self._draws = [Draws(chosen.warpers(), Stream(chosen.seed)) for chosen in options]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(rows, V) logits of all batches; −∞ but at the token drawn for each row."""
        parts = zip(
            self._draws, input_ids.split(self._sizes), scores.split(self._sizes), strict=True
        )
        return only(torch.cat([draws.tokens(ids, part) for draws, ids, part in parts]), scores)
