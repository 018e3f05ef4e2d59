"""Lower precision for the body's matrix products; `head.full_head` keeps the head out of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from transformers import PreTrainedModel

Precision = Literal["auto", "float32", "bfloat16"]
"""Of matrix products; ``auto`` is resolved by `resolve_precision`."""

PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16")
"""All that a user may ask for."""


def resolve_precision(
    precision: Precision, device: torch.device | None = None
) -> Literal["float32", "bfloat16"]:
    """What ``auto`` means on this machine: bfloat16 where the processor multiplies in it.

    Measured on Model 5 at a window of 256, bfloat16 takes half the time a token, and its total
    variation from the float32 distribution is 5e-6 (docs/log.md). On processors without such
    instructions bfloat16 is slower.

    Args:
        precision: as the user asked.
        device: where the products are computed; None for the processor.
    """
    if precision != "auto":
        return precision
    if device is not None and device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if native else "float32"


def differ_by_rounding(first: torch.Tensor, second: torch.Tensor, tolerance: float) -> bool:
    """Whether two tensors are of one shape and differ by rounding alone.

    Args:
        first: anywhere, of whatever type.
        second: by whose device, type and norm the difference is judged.
        tolerance: relative; four units of ``second``'s last place are allowed in any case.
    """
    if first.shape != second.shape:
        return False
    tolerance = max(tolerance, 4 * torch.finfo(second.dtype).eps)
    error = (first.to(second) - second).float().norm() / second.float().norm()
    return float(error) <= tolerance


def lower_precision(model: PreTrainedModel, precision: Precision) -> AbstractContextManager[object]:
    """Autocast to bfloat16 around the model's matrix products.

    Args:
        model: whose weights stay as they are.
        precision: as the user asked.

    Returns:
        a context that does nothing where the precision is float32 or the model is no float32 one.
    """
    if resolve_precision(precision, model.device) == "float32" or model.dtype != torch.float32:
        return nullcontext()
    return torch.autocast(model.device.type, dtype=torch.bfloat16)
