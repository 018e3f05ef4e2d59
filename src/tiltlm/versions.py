"""Versions of what a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform

from tiltlm import __version__


def versions() -> dict[str, str]:
    """The versions of tiltlm, of the libraries whose changes may change a figure, and of Python."""
    libraries = ("torch", "transformers", "tokenizers", "peft")
    installed = {name: importlib.metadata.version(name) for name in libraries}
    return {"tiltlm": __version__, **installed, "python": platform.python_version()}
