"""Versions of what a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform


def versions() -> dict[str, str]:
    """Of tiltlm, Python and the libraries."""
    names = ("tiltlm", "torch", "transformers", "tokenizers", "peft")
    found = {name: importlib.metadata.version(name) for name in names}
    return {**found, "python": platform.python_version()}
