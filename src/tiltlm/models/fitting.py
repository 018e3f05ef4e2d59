"""Whether a model has room where it is to lie, known before any of its weights is read."""

from __future__ import annotations

import torch

from tiltlm.errors import ConfigError
from tiltlm.models.free_memory import free_memory
from tiltlm.models.placement import ResolvedPlacement
from tiltlm.recipes.placement import QUANTIZATIONS


def check_fits(where: ResolvedPlacement, count: int, stored: torch.dtype | None, name: str) -> None:
    """Refuse a model whose weights have no room.

    Args:
        where: it is to lie.
        count: of its numbers.
        stored: the type in which its config says that they are stored, if it says so.
        name: for the message.

    Raises:
        ConfigError: it needs more than is free; says how much, and what helps.
    """
    dtype = where.arguments(stored)["dtype"]
    dtype = (stored or torch.float32) if dtype == "auto" else dtype
    bytes_each = {None: dtype.itemsize, "8bit": 1.0, "4bit": 0.5}[where.quantization]
    needed, free = int(count * bytes_each), _free(where)
    if needed <= free:
        return
    ways = ["--dtype bfloat16"] if dtype == torch.float32 and not where.quantization else []
    if where.device.type == "cuda":
        ways += [] if where.quantization else [f"--quantization {q}" for q in QUANTIZATIONS]
        ways += [] if where.device_map else ["--device-map auto"]
        ways += ["--device cpu"]
    place = "the GPUs together have" if where.device_map else f"{where.device} has"
    raise ConfigError(
        f"the weights take {needed / 2**30:.2f} GiB in {str(dtype).removeprefix('torch.')}, "
        f"and {place} {free / 2**30:.2f} GiB free",
        where=name,
        fix=", or ".join(ways) or "use a smaller model, or a machine with more memory",
    )


def _free(where: ResolvedPlacement) -> int:
    """Bytes that are free where a model is to lie."""
    if where.device_map is None:
        return free_memory(where.device)
    devices = range(torch.cuda.device_count())
    return sum(free_memory(torch.device("cuda", number)) for number in devices)
