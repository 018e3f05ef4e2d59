"""The files that a label speaks for, and their hashes. Knows names and bytes only."""

from __future__ import annotations

from pathlib import Path

from tiltlm.labels.label import FILE
from tiltlm.seals import sha256_of

CARD, SIGNATURE = "README.md", "model.sig"
"""Beside the label: its card, and a signature over all that is there."""

WEIGHTS = (".safetensors", ".gguf", ".onnx", ".bin", ".pt", ".pth")
"""Endings of files that hold weights."""

_GIT = (".git", ".gitattributes", ".github", ".gitignore")
"""What a repository adds to a folder of its own."""


def hashed_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a model besides its label, the label's card and its signature.

    Args:
        folder: that holds the model.
    """
    names = [name for name in all_files(folder) if name not in (FILE, CARD, SIGNATURE)]
    return {name: sha256_of(folder / name) for name in names}


def all_files(folder: Path) -> list[str]:
    """The names of a model's files, in order, with those of folders inside it; none of git's.

    Args:
        folder: that holds the model.
    """
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if _is_of_model(path))


def _is_of_model(path: Path) -> bool:
    hidden = path.name.startswith(".") and path.name.endswith(".lock")
    return path.parts[0] not in _GIT and not hidden


def holds_weights(name: str) -> bool:
    """Whether a file of this name holds weights."""
    return name.endswith(WEIGHTS)
