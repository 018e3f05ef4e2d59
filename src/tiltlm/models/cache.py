"""Cache."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where converted models lie: ``$TILTLM_CACHE``, or ``tiltlm`` in the user's cache."""
    if "TILTLM_CACHE" in os.environ:
        return Path(os.environ["TILTLM_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tiltlm"
