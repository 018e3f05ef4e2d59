"""Checkpoints that are whole: sealed with checksums when written, verified before they are read.

Knows only files; what is in them is the trainer's business.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from tiltlm.errors import CheckpointError
from tiltlm.files import explain_storage, remove, write_json

SEAL = "checksums.json"
"""Name of the file that holds the SHA-256 of every other file of a checkpoint."""

_NAME = re.compile(r"checkpoint-(\d+)$")


def seal(checkpoint: Path) -> None:
    """Write the SHA-256 of every file of a checkpoint beside them.

    Raises:
        StorageError: the disk is full.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    sums = {str(path.relative_to(checkpoint)): _sha256(path) for path in files}
    write_json(checkpoint / SEAL, sums)


def publish(staging: Path, directory: Path, keep: int) -> None:
    """Seal the checkpoint in ``staging``, move it into ``directory``, drop all but the newest.

    A checkpoint has its final name only when it is complete, so a killed run finds whole ones.

    Args:
        staging: the folder in which the trainer wrote it.
        directory: where checkpoints are looked for.
        keep: how many of the newest are left.

    Raises:
        StorageError: the disk is full.
    """
    for path in sorted(staging.glob("checkpoint-*")):
        with explain_storage(path):
            seal(path)
            remove(directory / path.name)
            path.rename(directory / path.name)
    for path in list_checkpoints(directory)[:-keep]:
        remove(path)


def list_checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a directory, oldest first; none where there is no such directory."""
    if not directory.is_dir():
        return []
    numbered = [(int(m[1]), path) for path in directory.iterdir() if (m := _NAME.search(path.name))]
    return [path for _, path in sorted(numbered)]


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written.

    Raises:
        CheckpointError: the folder's name is not that of a checkpoint.
    """
    match = _NAME.search(checkpoint.name)
    if match is None:
        raise CheckpointError(f"{checkpoint.name!r} is no checkpoint", where=str(checkpoint))
    return int(match[1])


def verify(checkpoint: Path) -> None:
    """Check every file of a checkpoint against its seal.

    Raises:
        CheckpointError: a file is missing or was changed, or the seal itself is damaged.
    """
    fix = "delete this checkpoint; --resume then takes the one before it, or starts anew"
    try:
        sums = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        names = sorted(sums)
    except (OSError, ValueError, TypeError):
        raise CheckpointError(
            "the checkpoint has no readable list of checksums, so it cannot be trusted",
            where=str(checkpoint),
            fix=fix,
        ) from None
    for name in names:
        path = checkpoint / name
        if not path.is_file():
            raise CheckpointError("a file of the checkpoint is missing", where=str(path), fix=fix)
        if _sha256(path) != sums[name]:
            raise CheckpointError(
                f"the checkpoint is damaged: {name} is not what was written",
                where=str(path),
                fix=fix,
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
