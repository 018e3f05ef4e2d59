"""Where things lie that were computed once: converted models, and contexts that a model made."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path


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


def scratch_folder() -> Path:
    """A temporary folder of this process, for what the cache cannot hold; it goes with the process.

    Raises:
        OSError: there is no place for temporary files.
    """
    return Path(_scratch().name)


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tiltlm-")
