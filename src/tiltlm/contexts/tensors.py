"""Token contexts as three tensors, and back: so files keep them and processes hand them on."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tiltlm.contexts.token_contexts import TokenContexts


def contexts_as_tensors(contexts: TokenContexts, prefix: str = "") -> dict[str, torch.Tensor]:
    """All tokens and weights of contexts one after the other, and the lengths to cut them by.

    Args:
        contexts: C contexts of T tokens together.
        prefix: of the tensors' names, which tells them from others in the same file.

    Returns:
        ``ids`` (T,) int64, ``weights`` (T,) float32 and ``lengths`` (C,) int64.
    """
    return {
        f"{prefix}ids": torch.cat(contexts.sequences),
        f"{prefix}weights": torch.cat(contexts.weights),
        f"{prefix}lengths": torch.tensor([len(ids) for ids in contexts.sequences]),
    }


def contexts_of_tensors(
    tensors: Mapping[str, torch.Tensor], kind: str, prefix: str = "", in_order: bool = False
) -> TokenContexts:
    """The contexts that `contexts_as_tensors` was given.

    Args:
        tensors: by name; others among them are left alone.
        kind: of the contexts, which the tensors do not say.
        prefix: of the names.
        in_order: of the contexts, likewise.

    Raises:
        KeyError: a tensor is missing.
        RuntimeError: the lengths do not add up.
    """
    lengths = tensors[f"{prefix}lengths"].tolist()
    return TokenContexts(
        [ids.tolist() for ids in tensors[f"{prefix}ids"].split(lengths)],
        kind,
        weights=[weights.tolist() for weights in tensors[f"{prefix}weights"].split(lengths)],
        in_order=in_order,
    )
