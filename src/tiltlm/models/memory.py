"""How much memory a model's weights take, before they are loaded, and how much is free.

Sizes are read off the headers of safetensors files, or off the config where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import TiltError
from tiltlm.models.adapter import base_of, is_adapter
from tiltlm.models.folder import (
    TensorShapes,
    check_numbers,
    read_adapter_shapes,
    read_json,
    read_shapes,
)
from tiltlm.models.free_memory import free_memory
from tiltlm.models.loading import source_folder

if TYPE_CHECKING:
    import torch

WORKING_BYTES = 2 << 30
"""What is left for everything but weights when it is asked whether models fit: see
docs/scaling.md."""

_BYTES = {
    "F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "F8_E4M3": 1,
    "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of a number, by the name that safetensors has for its type."""

_FLOATING = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


def weight_bytes(name: str, dtype: torch.dtype | None = None) -> int | None:
    """Bytes that the weights of a model take in memory.

    Args:
        name: as for `load`; of an adapter also, with its base.
        dtype: in which floating-point weights are held; None for that of the files.

    Returns:
        None where it cannot be told before the model is loaded, as of one that must be fetched.
    """
    try:
        if is_adapter(name):
            base = weight_bytes(base_of(name).name, dtype)
            own = _stored_bytes(read_adapter_shapes(Path(name)), dtype)
            return None if base is None else base + own
        if name == "model5":
            from tiltlm.models.model5 import Model5Config

            return _config_bytes(Model5Config(), dtype)
        source = source_folder(name)
    except TiltError:
        return None  # `load` says what is wrong.
    folder = source if Path(source).is_dir() else _hub_folder(source)
    if folder is None:
        return None
    try:
        return _stored_bytes(read_shapes(Path(folder)), dtype)
    except TiltError:
        return _described_bytes(folder, dtype)


def _stored_bytes(tensors: TensorShapes, dtype: torch.dtype | None) -> int:
    """Bytes in memory of the tensors that headers of files name."""
    total = 0
    for name, shape in tensors.shapes.items():
        kind = tensors.types[name]
        size = _BYTES.get(kind, 1)
        if dtype is not None and kind in _FLOATING:
            size = dtype.itemsize
        total += prod(shape) * size
    return total


def _described_bytes(folder: str, dtype: torch.dtype | None) -> int | None:
    """Bytes of a model of a folder's config; None where there is no such model."""
    from transformers import AutoConfig

    try:
        check_numbers(read_json(Path(folder) / "config.json"), folder)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        return _config_bytes(config, dtype)
    except Exception:  # Each architecture has error types of its own; `load` tells of them.
        return None


def _config_bytes(config: Any, dtype: torch.dtype | None) -> int:
    """Bytes of the weights of a model that is made without any."""
    from tiltlm.models.skeleton import skeleton_of

    model = skeleton_of(config, config.model_type)
    size = (dtype or model.dtype).itemsize
    return sum(p.numel() * size for p in model.parameters())


def _hub_folder(name: str) -> str | None:
    """Where the cache of the Hub has a model; None where it has none."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name of the Hub's
        return None
    return str(Path(path).parent) if isinstance(path, str) else None


def fit_together(
    names: Sequence[str], device: torch.device | None = None, dtype: torch.dtype | None = None
) -> bool:
    """Whether several models fit into what is free, with room to work in.

    Args:
        names: as for `load`.
        device: where they are to lie.
        dtype: in which they are held; None for that of their files.

    Returns:
        True also where the size of one cannot be told.
    """
    sizes = [weight_bytes(name, dtype) for name in names]
    known = sum(size for size in sizes if size is not None)
    return None in sizes or known + WORKING_BYTES <= free_memory(device)
