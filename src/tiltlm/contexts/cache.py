"""Contexts that a model made, kept on disk: the same model and seed make the same ones again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.files import staged
from tiltlm.models.cache import cache_folder

_VERSION = 3
"""One more whenever contexts of the same model and seed come out differently."""


def cached(key: str | None, about: list[Any], make: Callable[[], TokenContexts]) -> TokenContexts:
    """Contexts out of the cache, where they were made before; else made now and kept.

    Args:
        key: of the model's weights; None to keep nothing.
        about: all else that the contexts depend on, as JSON can write it.
        make: makes the contexts.

    Raises:
        StorageError: there is no room in the cache.
    """
    if key is None:
        return make()
    text = json.dumps([_VERSION, key, *about], ensure_ascii=False)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = cache_folder() / "contexts" / f"{name}.safetensors"
    if path.is_file():
        return _read(path)
    contexts = make()
    _write(path, contexts)
    return contexts


def _write(path: Path, contexts: TokenContexts) -> None:
    """Write contexts as three tensors: all ids, all weights, and the lengths to cut them by."""
    from safetensors.torch import save_file

    tensors = {
        "ids": torch.cat(contexts.sequences),
        "weights": torch.cat(contexts.weights),
        "lengths": torch.tensor([len(ids) for ids in contexts.sequences]),
    }
    with staged(path) as temporary:
        save_file(tensors, temporary, metadata={"kind": contexts.kind})


def _read(path: Path) -> TokenContexts:
    """Read what `_write` wrote."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in ("ids", "weights", "lengths")}
        kind = file.metadata()["kind"]
    lengths = tensors["lengths"].tolist()
    return TokenContexts(
        [ids.tolist() for ids in tensors["ids"].split(lengths)],
        kind,
        weights=[weights.tolist() for weights in tensors["weights"].split(lengths)],
    )
