"""Checkpoints that are whole: sealed with checksums when written, verified before they are read.

Knows only files; what is in them is the trainer's business.
"""

from __future__ import annotations

import re
from pathlib import Path

from tiltlm.errors import CheckpointError
from tiltlm.files import explain_storage, remove, settle
from tiltlm.seals import find_damage, seal

_NAME = re.compile(r"checkpoint-(\d+)$")


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
            settle(path)
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
    damage = find_damage(checkpoint)
    if damage is not None:
        raise CheckpointError(
            f"of the checkpoint {checkpoint.name}, {damage.what}",
            where=str(damage.where),
            fix="delete this checkpoint; --resume then takes the one before it, or starts anew",
        )
