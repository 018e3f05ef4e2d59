"""Contexts that a model made are kept, since the same model and seed make the same ones again."""

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

_VERSION = 3  # one more whenever contexts of the same model and seed come out differently


def cached(key: str | None, about: list[Any], make: Callable[[], TokenContexts]) -> TokenContexts:
    """What `make` gives, from the cache if it was made before.

    Args:
        key: of the model's weights; None to keep nothing.
        about: all else that the contexts depend on, as JSON can write it.
        make: the contexts.
    """
    if key is None:
        return make()
    text = json.dumps([_VERSION, key, *about], ensure_ascii=False)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = cache_folder() / "contexts" / f"{name}.safetensors"
    if path.is_file():
        return _read(path)
    found = make()
    _write(path, found)
    return found


def _write(path: Path, contexts: TokenContexts) -> None:
    from safetensors.torch import save_file

    tensors = {
        "ids": torch.cat(contexts.sequences),
        "weights": torch.cat(contexts.weights),
        "lengths": torch.tensor([len(ids) for ids in contexts.sequences]),
    }
    with staged(path) as temporary:
        save_file(tensors, temporary, metadata={"kind": contexts.kind})


def _read(path: Path) -> TokenContexts:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in ("ids", "weights", "lengths")}
        kind = file.metadata()["kind"]
    lengths = found["lengths"].tolist()
    sequences = [ids.tolist() for ids in found["ids"].split(lengths)]
    return TokenContexts(
        sequences, kind, weights=[w.tolist() for w in found["weights"].split(lengths)]
    )
