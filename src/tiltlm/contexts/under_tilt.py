"""Texts that a model writes while its logits are turned into a target's."""

from __future__ import annotations

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.chat import first_token
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.logits_processor import TiltLogitsProcessor


def texts_under(
    loaded: LoadedModel, target: BoundTarget, count: int, length: int, seed: int
) -> TokenContexts:
    """What a model says from the beginning of a text, at temperature 1, under a target.

    Args:
        loaded: the model, with its tokenizer.
        target: bound to its vocabulary, and fitted.
        count: how many texts.
        length: tokens of each, the first one included.
        seed: of the draws.
    """
    begin = torch.full((count, 1), first_token(loaded.tokenizer))
    processor = TiltLogitsProcessor(target, loaded.tokenizer.pad_token_id)
    options = SamplingOptions(seed=seed)
    drawn = sample(loaded.model, begin, length - 1, options, processor=processor)
    return TokenContexts(torch.cat([begin.to(drawn), drawn], 1).tolist(), "texts under the target")
