"""Versions of what a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform


def versions() -> dict[str, str]:
    """The versions of tiltlm, of the libraries whose changes may change a figure, and of Python."""
    names = ("tiltlm", "torch", "transformers", "tokenizers", "peft")
    installed = {name: importlib.metadata.version(name) for name in names}
    return {**installed, "python": platform.python_version()}
