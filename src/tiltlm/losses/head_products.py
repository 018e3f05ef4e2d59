"""Products of a head's matrices, in half precision where that loses nothing that counts.

Logits near 16 are 0.06 apart in bfloat16, more than the tilts that models are given, so a product
that becomes logits is always float32: on CUDA the product in half precision hands out the float32
sums that it is made of, elsewhere the operands are made float32, a few columns at a time. Products
that become gradients may be rounded once more. Knows nothing of losses.
"""

from __future__ import annotations

import torch

_CONVERTED = 1 << 24
"""Numbers of an operand that are made float32 at once: 64 MiB, into memory that is used again.

With 8 MiB the products are three times slower: each is a call of its own, and too narrow."""


def exact_product(
    out: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """Write alpha·left·right + beta·out over ``out``; no sum is rounded to half precision.

    Args:
        out: (n, m) float32 or float64; what it holds is not read where beta is 0.
        left: (n, k), of the type of ``right`` or of ``out``.
        right: (k, m).
        alpha: by which the product counts.
        beta: by which that counts which is there.
    """
    if left.dtype == right.dtype and (left.dtype == out.dtype or _gives_float32(left)):
        _add(out, left, right, alpha, beta)
        return
    left, (depth, width) = left.to(out.dtype), right.shape
    step = min(width, max(1, _CONVERTED // max(1, depth)))
    room = out.new_empty(step, depth)
    for first in range(0, width, step):
        columns = slice(first, min(first + step, width))
        part = room[: columns.stop - first].copy_(right[:, columns].T).T
        _add(out[:, columns], left, part, alpha, beta)


def add_product(
    total: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> None:
    """Write alpha·left·right + beta·total over ``total``, as fast as the device can.

    Args:
        total: (n, m); what it holds is not read where beta is 0.
        left: (n, k), of the same type as ``right``.
        right: (k, m).
        alpha: by which the product counts.
        beta: by which that counts which is there, 0 or 1.
    """
    if left.dtype == total.dtype or _gives_float32(left):
        _add(total, left, right, alpha, beta)
        return
    product = left @ right
    if beta:
        total.add_(product, alpha=alpha)
    else:
        torch.mul(product, alpha, out=total)


def _gives_float32(operand: torch.Tensor) -> bool:
    """Whether a product in half precision can come out in float32: on CUDA, since torch 2.8."""
    return (
        operand.device.type == "cuda"
        and torch.version.hip is None
        and "dtype_out" in torch.ops.aten.addmm.overloads()
    )


def _add(
    out: torch.Tensor, left: torch.Tensor, right: torch.Tensor, alpha: float, beta: float
) -> None:
    if left.dtype == out.dtype:
        torch.addmm(out, left, right, alpha=alpha, beta=beta, out=out)
    else:
        torch.addmm(out, left, right, out_dtype=out.dtype, alpha=alpha, beta=beta, out=out)
