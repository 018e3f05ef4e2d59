"""The head of a GGUF file: rounded to one of the two types that cost a tilt little."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from tiltlm.errors import ConfigError

HeadType = Literal["f16", "q8_0"]


def round_head(weight: torch.Tensor, kind: HeadType) -> tuple[np.ndarray, torch.Tensor]:
    """Round a head.

    Args:
        weight: (V, D) float32.
        kind: ``f16``, or ``q8_0``: blocks of 32 values of 8 bits with a scale each.

    Returns:
        the rounded tensor as the file holds it, and (V, D) float32 what an engine makes of it.

    Raises:
        ConfigError: it cannot be rounded so.
    """
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    exact = weight.numpy()
    if kind == "f16":
        rounded = exact.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ConfigError(
                "the head has weights that are too large for f16", fix="choose --head q8_0"
            )
        return rounded, torch.from_numpy(rounded.astype(np.float32))
    if exact.shape[1] % 32:
        raise ConfigError(
            f"rows of {exact.shape[1]} values are no whole number of q8_0's blocks of 32",
            fix="choose --head f16",
        )
    packed = quantize(exact, GGMLQuantizationType.Q8_0)
    return packed, torch.from_numpy(dequantize(packed, GGMLQuantizationType.Q8_0))
