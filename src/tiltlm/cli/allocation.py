"""How the process gets and frees its memory: what a command line may set, and a library may not.

Large tensors come and go with every block of logits. By default each is mapped anew, and its pages
are faulted in one by one; that is a fifth of the time of a warm edit (docs/performance.md).
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT_BYTES = 1 << 30
_NEW_OBJECTS = 10_000


def keep_freed_memory() -> None:
    """Ask torch for huge pages, and glibc to keep what was freed for the next tensor.

    Nothing that the user's environment says is overruled, and other C libraries are left alone.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def collect_garbage_seldom() -> None:
    """Look for cycles after 10,000 new objects rather than 700, and for none at the end.

    Importing torch, transformers and peft makes 400,000 objects that stay. Python looks through all
    of them again and again, a tenth of the time of the imports, and for a second when it exits.
    """
    if gc.get_threshold()[0]:  # 0 where somebody has switched it off
        gc.set_threshold(_NEW_OBJECTS)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
