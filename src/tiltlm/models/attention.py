"""Attention on a GPU by kernels that need no plan for each shape.

torch gives attention in half precision to cuDNN first where a GPU of Hopper or later has it, and
cuDNN plans anew for each length of text that it has not seen, for a tenth of a second and more.
Drawing token by token meets a new length at each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def attention_without_plans(device: torch.device) -> Iterator[None]:
    """Attention by any kernels but cuDNN's, for the length of the context.

    Args:
        device: where the model lies; off CUDA nothing changes.

    Source: PyTorch pull request 155958.
    """
    if device.type != "cuda" or not torch.backends.cuda.cudnn_sdp_enabled():
        yield
        return
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)
