"""Memory that is free, given back to the machine: the page's threads come and go, models too.

Each thread of a program gets a heap of its own from glibc, and what was freed in it stays in the
process. With a model loaded in one thread and drawn from in another that is as much again as the
model. Where there is no glibc, nothing is done.
"""

from __future__ import annotations

import ctypes
import gc
import sys

_ARENA_MAX = -8
"""glibc's number for how many heaps there may be."""

HEAPS = 2
"""Heaps of the whole process: enough for one thread that draws and one that answers."""


def share_heaps() -> None:
    """Let all threads share few heaps; to be called before there are any."""
    if library := _glibc():
        library.mallopt(_ARENA_MAX, HEAPS)


def give_back() -> None:
    """Give back what is free in the heaps."""
    gc.collect()
    if library := _glibc():
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if hasattr(library, "malloc_trim") else None
    except OSError:
        return None
