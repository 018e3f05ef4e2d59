"""How much memory can still be taken, of the machine and of a GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def free_memory(device: torch.device | None = None) -> int:
    """Bytes that can still be taken.

    Args:
        device: a GPU whose own memory is meant; None, or any other device, for the machine's.
    """
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    limits = [_machine_free()]
    group = Path("/sys/fs/cgroup")
    try:  # A container may have less than its machine.
        most = int((group / "memory.max").read_text())
        limits.append(most - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(0, min(limits))


def _machine_free() -> int:
    """Bytes that the operating system can give, caches that it would drop included."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        about = dict(line.split(":", 1) for line in lines)
        return int(about["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
