"""Contexts that a model made, kept on disk: the same model and seed make the same ones again.

The cache is a convenience: where an entry is damaged, or none can be written, contexts are made.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tiltlm.contexts.tensors import contexts_as_tensors, contexts_of_tensors
from tiltlm.contexts.token_contexts import DrawnStates, TokenContexts
from tiltlm.models.cache import cache_folder, keep_file

_VERSION = 5
"""One more whenever contexts of the same model and seed come out, or are kept, differently."""


def cached(key: str | None, about: list[Any], make: Callable[[], TokenContexts]) -> TokenContexts:
    """Contexts out of the cache, where they were made before; else made now and kept.

    An entry that is damaged is replaced, and a cache that cannot be written done without; either
    is warned of.

    Args:
        key: of the model's weights; None to keep nothing.
        about: all else that the contexts depend on, as JSON can write it.
        make: makes the contexts.
    """
    if key is None:
        return make()
    text = json.dumps([_VERSION, key, *about], ensure_ascii=False)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = cache_folder() / "contexts" / f"{name}.safetensors"
    found = _read(path, key)
    if found is not None:
        return found
    contexts = make()
    _write(path, contexts)
    return contexts


def _write(path: Path, contexts: TokenContexts) -> None:
    """Write contexts as their tensors."""
    from safetensors.torch import save_file

    tensors = contexts_as_tensors(contexts)
    if contexts.states is not None:
        tensors["hidden"] = torch.cat(contexts.states.hidden)
    metadata = {"kind": contexts.kind, "sha256": _digest(tensors, contexts.kind)}
    keep_file(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


def _read(path: Path, key: str) -> TokenContexts | None:
    """Read what `_write` wrote; None where it is not there or, with a warning, is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            return None
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        kind = metadata["kind"]
        if metadata["sha256"] != _digest(tensors, kind):
            raise ValueError("it is not what was written")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path} in the cache is damaged ({error}); it is made anew", stacklevel=3)
        return None
    contexts = contexts_of_tensors(tensors, kind)
    if "hidden" in tensors:
        lengths = [len(ids) for ids in contexts.sequences]
        contexts.states = DrawnStates(key, list(tensors["hidden"].split(lengths)))
    return contexts


def _digest(tensors: Mapping[str, torch.Tensor], kind: str) -> str:
    """SHA-256 of all that an entry says."""
    digest = hashlib.sha256(kind.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
