"""A whole model, its head untied, as transformers and every engine for safetensors load it."""

from __future__ import annotations

from pathlib import Path

from tiltlm.files import require_free
from tiltlm.models.loading import LoadedModel
from tiltlm.models.model5 import as_gpt2


def write_whole(loaded: LoadedModel, folder: Path) -> None:
    """Write weights, config and tokenizer.

    Args:
        loaded: the model; plain GPT-2 is written of Model 5.
        folder: a new one.

    Raises:
        StorageError: there is no room for it.
    """
    size = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    require_free(folder, size + size // 10, "a whole model")
    as_gpt2(loaded.model).save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
