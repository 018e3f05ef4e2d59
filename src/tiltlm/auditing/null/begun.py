"""What a build begins with, kept beside its members: so it is gone on with, even when finished.

The texts that members are trained on lie there too, and may be a user's own. So this file stays
where the pack was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tiltlm.auditing.null.drawn import DRAWN, Drawn
from tiltlm.errors import RunError
from tiltlm.files import staged, write_json
from tiltlm.reading import read_json


def begun_path(folder: Path) -> Path:
    """Where it lies.

    Args:
        folder: of the pack.
    """
    return folder / "begun.safetensors"


def write_begun(folder: Path, drawn: Drawn) -> None:
    """Keep what all members are made of and read at.

    Args:
        folder: of the pack.
        drawn: by the first process.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    with staged(begun_path(folder)) as path:
        path.write_bytes(DRAWN.encode(drawn))


def read_begun(folder: Path) -> Drawn:
    """Read what `write_begun` wrote.

    Args:
        folder: of the pack.

    Raises:
        RunError: it is not there, or damaged.
    """
    path = begun_path(folder)
    try:
        return DRAWN.decode(path.read_bytes())
    except FileNotFoundError:
        raise RunError(
            "what the pack was begun with is not here, so it cannot be gone on with",
            where=str(path),
            fix="go on where the pack was made, or name a new folder",
        ) from None
    except (ValueError, KeyError, TypeError, RuntimeError, OSError, SafetensorError) as error:
        raise RunError(
            f"what the pack was begun with is damaged: {error}",
            where=str(path),
            fix="name a new folder",
        ) from None


def check_same_build(folder: Path, plan: dict[str, Any]) -> None:
    """Refuse to go on with a pack that was begun otherwise; keep the plan of a new one.

    Args:
        folder: of the pack.
        plan: all that members depend on.

    Raises:
        RunError: the plan that lies there is another.
    """
    path = folder / "plan.json"
    if not path.is_file():
        write_json(path, plan)
        return
    try:
        begun = read_json(path)
    except (OSError, ValueError):
        raise RunError(
            "the plan of the pack is damaged", where=str(path), fix="name a new folder"
        ) from None
    if begun != plan:
        raise RunError(
            "the pack was begun with other settings", where=str(path), fix="name a new folder"
        )
