"""Where things lie that were computed once: converted models, contexts, scores of members."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.claims import claimed
from tiltlm.errors import RunError
from tiltlm.files import staged

if TYPE_CHECKING:
    import numpy as np


def cache_folder() -> Path:
    """The folder of the cache; it need not exist, and it may not be possible to write it.

    Returns:
        ``$TILTLM_CACHE`` where that is set, else ``tiltlm`` in ``$XDG_CACHE_HOME`` or, without
        that, in ``~/.cache``; where there is no home, `scratch_folder`.
    """
    if os.environ.get("TILTLM_CACHE"):
        return Path(os.environ["TILTLM_CACHE"])
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "tiltlm"
    try:
        return Path.home() / ".cache" / "tiltlm"
    except RuntimeError:  # A process may have a user that the system does not know.
        return scratch_folder()


def keep_file(path: Path, write: Callable[[Path], None]) -> None:
    """Put a file into the cache; a cache that cannot be written is warned of, and done without.

    Args:
        path: in the cache.
        write: writes the file where it is told.
    """
    try:
        with claimed(path, wait=True) as claim, staged(claim) as temporary:
            write(temporary)
    except RunError as error:
        warnings.warn(
            f"the cache at {path.parent} is done without: {error.what}; TILTLM_CACHE can name "
            "another folder",
            stacklevel=3,
        )


def keep_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays into the cache, as `keep_file` does.

    Args:
        path: in the cache.
        arrays: by name.
    """
    import numpy as np
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    keep_file(path, lambda temporary: save_file(whole, temporary))


def kept_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `keep_arrays` kept; nothing where there is nothing, or a damaged file.

    Args:
        path: in the cache.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError):
        return {}


def scratch_folder() -> Path:
    """A temporary folder of this process, for what the cache cannot hold; it goes with the process.

    Raises:
        OSError: there is no place for temporary files.
    """
    return Path(_scratch().name)


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tiltlm-")
