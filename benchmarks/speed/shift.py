"""What an audit's reading costs: `ShiftReader` against the two bare forward passes.

The baseline calls suspect and reference as transformers does, logits at every position, and throws
them away; an audit also has to make of them the mean log-ratio of every token in every context,
the divergence and the masses.

    python -m benchmarks.speed.shift [--small]
"""

from __future__ import annotations

import copy
from functools import partial

import torch

from benchmarks.harness.timing import Group, Work, main, plain
from benchmarks.harness.trainers import pretrained
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import vocabulary_size


def models(small: bool) -> tuple[LoadedModel, LoadedModel]:
    """A reference, and a copy whose body differs."""
    reference = pretrained(small)
    suspect = LoadedModel(copy.deepcopy(reference.model), reference.tokenizer)
    with torch.no_grad():
        next(suspect.model.parameters()).mul_(1.001)
    for loaded in (reference, suspect):
        loaded.model.eval()
    return reference, suspect


def contexts(loaded: LoadedModel, count: int, length: int) -> torch.Tensor:
    """Random tokens."""
    return RandomTokenContexts(vocabulary_size(loaded.model), length, count, seed=0).batch()


def build_bare(count: int, length: int, small: bool) -> Work:
    """Two forward passes, sixteen contexts at a time."""
    pair = models(small)
    ids = contexts(pair[0], count, length)

    def call() -> None:
        with torch.no_grad():
            for some in ids.split(16):
                for loaded in pair:
                    assert loaded.model(input_ids=some, use_cache=False).logits.ndim == 3

    return plain(call)


def build_ours(count: int, length: int, small: bool) -> Work:
    """A fresh reader, so the reference is read too."""
    reference, suspect = models(small)
    where = TokenContexts(contexts(reference, count, length).tolist(), "random tokens")

    def call() -> None:
        assert ShiftReader(reference, where).read(suspect).kl > 0

    return plain(call)


def groups(small: bool) -> list[Group]:
    """One group."""
    count, length = (4, 8) if small else (48, 64)
    variants = {
        "two forward passes": partial(build_bare, count, length, small),
        "ShiftReader": partial(build_ours, count, length, small),
    }
    return [
        Group(
            f"Reading a shift at {count} × {length} tokens",
            variants,
            "two forward passes",
            rounds=2 if small else 5,
            amount=count * length,
            unit="tokens",
        )
    ]


if __name__ == "__main__":
    main(__file__, __doc__ or "", groups)
