"""What tells a model's weights from all others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from tiltlm.errors import TiltError
from tiltlm.models.folder import read_json, weight_files


def fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 over a model's weights: their names, shapes, types and bytes, in order of name.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        _add(digest, name, tensor)
    return digest.hexdigest()


def stored_fingerprint(folder: str) -> str | None:
    """SHA-256 over the weights that lie in a folder and the config that says what they mean.

    One tensor is in memory at a time. It is no `fingerprint`: files may name weights otherwise.

    Args:
        folder: that ``save_pretrained`` wrote.

    Returns:
        64 hexadecimal digits; None where there are no safetensors to read.
    """
    digest = hashlib.sha256()
    try:
        config = read_json(Path(folder) / "config.json")
        digest.update(_meaning(config))
        holder: dict[str, Path] = {}
        for path in weight_files(Path(folder)):
            with safe_open(path, "pt") as file:
                holder |= dict.fromkeys(file.keys(), path)
        for name, path in sorted(holder.items()):
            with safe_open(path, "pt") as file:
                _add(digest, name, file.get_tensor(name))
    except (OSError, SafetensorError, TiltError):
        return None
    return digest.hexdigest() if holder else None


def config_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 over what a model's config says of the meaning of its weights.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(_meaning(model.config.to_dict())).hexdigest()


def _meaning(config: dict[str, Any]) -> bytes:
    """A config as bytes, without names, versions and types that the weights say themselves."""
    said = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
    meaning = {key: value for key, value in config.items() if key not in said}
    return json.dumps(meaning, sort_keys=True, default=str).encode()


def _add(digest: hashlib._Hash, name: str, tensor: torch.Tensor) -> None:
    """Take a tensor's name, shape, type and bytes into a sum."""
    plain = tensor.detach().cpu().contiguous()
    digest.update(f"{name} {tuple(plain.shape)} {plain.dtype}".encode())
    digest.update(plain.view(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
