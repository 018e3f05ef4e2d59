"""Folders that are known to be whole: the SHA-256 of every file lies beside them.

Knows only files; what is in them is somebody else's business.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tiltlm.files import write_json

SEAL = "checksums.json"
"""Name of the file that holds the SHA-256 of every other file of a folder."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with a sealed folder.

    Attributes:
        what: in one sentence.
        where: the folder, or the file in it.
    """

    what: str
    where: Path


def seal(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder beside them.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {str(path.relative_to(folder)): sha256_of(path) for path in files}
    write_json(folder / SEAL, sums)


def find_damage(folder: Path) -> Damage | None:
    """Check every file of a folder against its seal.

    Args:
        folder: that was sealed, or should have been.

    Returns:
        the first damage that is found; None where the folder is what was sealed.
    """
    try:
        sums = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        names = sorted(sums)
    except (OSError, ValueError, TypeError):
        return Damage("it has no readable list of checksums, so it cannot be trusted", folder)
    for name in names:
        path = folder / name
        if not path.is_file():
            return Damage("a file of it is missing", path)
        if sha256_of(path) != sums[name]:
            return Damage(f"it is damaged: {name} is not what was written", path)
    return None


def sha256_of(path: Path) -> str:
    """SHA-256 over the bytes of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
