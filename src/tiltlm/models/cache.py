"""Where things lie that were computed once: converted models, and contexts that a model made."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of the cache; it need not exist.

    Returns:
        ``$TILTLM_CACHE`` where that is set, else ``tiltlm`` in ``$XDG_CACHE_HOME`` or, without
        that, in ``~/.cache``.
    """
    if "TILTLM_CACHE" in os.environ:
        return Path(os.environ["TILTLM_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tiltlm"
