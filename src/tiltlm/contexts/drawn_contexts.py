"""What a model itself says: the contexts that are likeliest for it, and what it read there.

Knows models and tokenizers, nothing of targets.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from transformers import PreTrainedModel

from tiltlm.contexts.cache import cached
from tiltlm.contexts.logit_reader import kept_on_host
from tiltlm.contexts.token_contexts import DrawnStates, TokenContexts
from tiltlm.models.chat import first_token
from tiltlm.models.fingerprints import config_fingerprint
from tiltlm.models.head import last_states
from tiltlm.models.loading import LoadedModel
from tiltlm.models.rounded_weights import is_rounded
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import context_length
from tiltlm.progress import Advance

BATCH = 64
"""Sequences drawn at once."""


def own_samples(
    loaded: LoadedModel,
    count: int,
    length: int,
    seed: int,
    key: str | None = None,
    advance: Advance | None = None,
) -> TokenContexts:
    """What the model itself says from the beginning of a text, at temperature 1.

    Args:
        loaded: the model, with its tokenizer.
        count: how many samples.
        length: tokens of each, the first one included, which is the same for all.
        seed: of the draws.
        key: of the model's weights; given, the samples are kept in the cache, and with them the
            hidden states of a float32 model, so that they need not be read again.
        advance: told how many samples have been drawn; not called where they were in the cache.
    """

    def make() -> TokenContexts:
        return _drawn(loaded, count, length, seed, key, advance)

    return cached(key, ["own", count, length, seed, config_fingerprint(loaded.model)], make)


def _drawn(
    loaded: LoadedModel,
    count: int,
    length: int,
    seed: int,
    key: str | None,
    advance: Advance | None,
) -> TokenContexts:
    """Draw `own_samples`; each batch has a seed of its own.

    Each pass gives the hidden state of the position before the token that it draws. For that of
    the last position one token more is drawn, and left off.
    """
    model, tokenizer = loaded
    keeps = key is not None and _states_are_kept(model, length)
    begin = first_token(tokenizer)
    drawn: list[list[int]] = []
    hidden: list[torch.Tensor] = []
    for first in range(0, count, BATCH):
        sequences = torch.full((min(BATCH, count - first), 1), begin)
        options = SamplingOptions(seed=seed * 1_000_003 + first)
        with last_states(model) if keeps else nullcontext() as given:
            new_tokens = length if keeps else length - 1
            if new_tokens:
                sequences = torch.cat([sequences, sample(model, sequences, new_tokens, options)], 1)
        drawn += sequences[:, :length].tolist()
        if given is not None:
            hidden += kept_on_host(torch.stack(given, dim=1))
        if advance:
            advance(len(drawn))
    states = DrawnStates(key, hidden) if key is not None and keeps else None
    return TokenContexts(drawn, "own samples", states=states)


def _states_are_kept(model: PreTrainedModel, length: int) -> bool:
    """Whether drawing gives hidden states as good as those of reading, for the asking.

    In half precision, in which rounded weights are multiplied too, the two ways differ by more than
    rounding of float32, and reading takes little beside drawing. A text that fills the model's
    window would be read anew for one token.
    """
    window = context_length(model)
    fits = window is None or length < window
    exact = model.dtype == torch.float32 and not is_rounded(model)
    return fits and exact and model.get_output_embeddings() is not None
