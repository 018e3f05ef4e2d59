"""A divergence of whole rows with its gradient in one kernel, in Triton: for logits on a GPU.

The same as `row_gradients`, whose formulas stand there: each row is read twice (three times where
the gradient needs a mean first), and its gradient written once, in the precision of the products
that come next. Imports Triton, which comes with torch where there is a GPU; nothing here is
imported before a block of logits lies on one.
"""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import torch
import triton
from triton import language as tl

from tiltlm.losses.row_gradients import RowDivergences

BLOCK, WARPS = 8192, 16
"""Columns that a program holds in its registers at once, and how many warps share them."""

_KINDS = {"forward_kl": 0, "reverse_kl": 1, "jensen_shannon": 2}


def fused_rows(
    logits: torch.Tensor,
    gradient: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    divergence: str,
    *,
    bias: torch.Tensor | None = None,
    cap: float | None = None,
    event: torch.Tensor | None = None,
) -> RowDivergences:
    """Each row's divergence and event mass; its weighted gradient is written to ``gradient``.

    Args:
        logits: (rows, V) float32, before bias and soft cap; rows may be apart, columns not.
        gradient: (rows, V) with respect to ``logits``: they themselves, or the second half of the
            memory of their rows read as half precision, or other memory.
        target: (V,) log-probabilities, or (rows, V) logits of any float type.
        weights: (rows,) float32; a row of weight 0 has the gradient 0, whatever is in it.
        divergence: a name in `row_gradients.ROW_GRADIENTS`.
        bias: (V,) float32, or None.
        cap: the head's soft cap, or None.
        event: (V,) float32 zeros and ones, or None.

    Returns:
        as the functions of `row_gradients`.
    """
    rows, size = logits.shape
    nats = torch.empty(rows, dtype=torch.float32, device=logits.device)
    mass = None if event is None else torch.empty_like(nats)
    if target.stride(-1) != 1:
        target = target.contiguous()
    fixed, kernel = target.ndim == 1, _rows
    launch: Any = kernel[(rows,)]
    with torch.cuda.device_of(logits):
        launch(
            logits, gradient, target, bias, event, weights, nats, mass,
            logits.stride(0), gradient.stride(0), 0 if fixed else target.stride(0), cap or 1.0,
            size=size, block=min(BLOCK, triton.next_power_of_2(size)), kind=_KINDS[divergence],
            normalised=fixed, capped=cap is not None, num_warps=WARPS,
        )  # fmt: skip
    return RowDivergences(nats, mass)


def scale_in_place(tensor: torch.Tensor, factor: torch.Tensor) -> None:
    """Multiply by a number that lies on the GPU; nothing is read or written where it is 1.

    Args:
        tensor: contiguous, of any shape.
        factor: a scalar on the same device.
    """
    launch: Any = _scale[(triton.cdiv(tensor.numel(), BLOCK),)]
    with torch.cuda.device_of(tensor):
        launch(tensor, factor, tensor.numel(), block=BLOCK, num_warps=WARPS)


@triton.jit
def _rows(
    logits, gradient, target, bias, event, weights, nats, mass,
    logits_stride, gradient_stride, target_stride, cap,
    size: tl.constexpr, block: tl.constexpr, kind: tl.constexpr,
    normalised: tl.constexpr, capped: tl.constexpr,
):  # fmt: skip
    """One program is one row.

    Its last reading goes backwards, since the end of the row is what the cache still has. Where the
    gradient is half as wide as the logits it fills the row's memory from the end too, and so never
    covers what is yet to be read; the barrier keeps warps from overtaking each other.
    """
    row = tl.program_id(0).to(tl.int64)
    logits += row * logits_stride
    gradient += row * gradient_stride
    target += row * target_stride
    weight = tl.load(weights + row)
    log_z, log_t = _normalisers(logits, target, bias, cap, size, block, normalised, capped)
    mean = 0.0
    if kind != 0:
        mean = _mean_slope(logits, target, bias, cap, log_z, log_t, size, block, kind, capped)
    summed_nats = tl.zeros([block], tl.float32)
    summed_mass = tl.zeros([block], tl.float32)
    for back in range(block, size + block, block):
        at = tl.cdiv(size, block) * block - back + tl.arange(0, block)
        z, bend = _logits_at(logits, bias, at, cap, size, capped)
        t = _target_at(target, at, size)
        p, q = tl.exp(z - log_z), tl.exp(t - log_t)
        term, slope = _term_and_slope(z - log_z, t - log_t, p, q, kind)
        summed_nats += term
        if event is not None:
            summed_mass += p * tl.load(event + at, mask=at < size, other=0.0)
        found = p - q if kind == 0 else p * (slope - mean)
        found = tl.where(weight == 0, 0.0, weight * found * bend).to(gradient.dtype.element_ty)
        tl.debug_barrier()
        tl.store(gradient + at, found, mask=at < size, eviction_policy="evict_first")
    tl.store(nats + row, tl.sum(summed_nats, 0))
    if event is not None:
        tl.store(mass + row, tl.sum(summed_mass, 0))


@triton.jit
def _normalisers(
    logits, target, bias, cap,
    size: tl.constexpr, block: tl.constexpr, normalised: tl.constexpr, capped: tl.constexpr,
):  # fmt: skip
    """Logarithms of the sums of exponentials of model and target, in one reading.

    Each lane sums for itself until the end, so no warp waits for another.
    """
    high_z = tl.full([block], -1e30, tl.float32)
    high_t = tl.full([block], -1e30, tl.float32)
    sum_z = tl.zeros([block], tl.float32)
    sum_t = tl.zeros([block], tl.float32)
    for first in range(0, size, block):
        at = first + tl.arange(0, block)
        z, _ = _logits_at(logits, bias, at, cap, size, capped)
        high_z, sum_z = _add_exponential(high_z, sum_z, z)
        if not normalised:
            high_t, sum_t = _add_exponential(high_t, sum_t, _target_at(target, at, size))
    log_t = 0.0
    if not normalised:
        log_t = _log_sum(high_t, sum_t)
    return _log_sum(high_z, sum_z), log_t


@triton.jit
def _mean_slope(
    logits, target, bias, cap, log_z, log_t,
    size: tl.constexpr, block: tl.constexpr, kind: tl.constexpr, capped: tl.constexpr,
):  # fmt: skip
    """What the gradient's slope is on average, under the model."""
    summed = tl.zeros([block], tl.float32)
    for first in range(0, size, block):
        at = first + tl.arange(0, block)
        z, _ = _logits_at(logits, bias, at, cap, size, capped)
        t = _target_at(target, at, size)
        p = tl.exp(z - log_z)
        _, slope = _term_and_slope(z - log_z, t - log_t, p, tl.exp(t - log_t), kind)
        summed += p * slope
    return tl.sum(summed, 0)


@triton.jit
def _target_at(target, at, size: tl.constexpr):
    """The target's logits, −inf beyond the row."""
    return tl.load(target + at, mask=at < size, other=float("-inf")).to(tl.float32)


@triton.jit
def _logits_at(logits, bias, at, cap, size: tl.constexpr, capped: tl.constexpr):
    """Logits with bias and soft cap, −inf beyond the row; their derivative by those without."""
    z = tl.load(logits + at, mask=at < size, other=float("-inf"))
    if bias is not None:
        z += tl.load(bias + at, mask=at < size, other=0.0)
    bend = 1.0
    if capped:
        shrunk = tl.exp(-2.0 * tl.abs(z / cap))
        bent = (1.0 - shrunk) / (1.0 + shrunk)
        bend = 4.0 * shrunk / ((1.0 + shrunk) * (1.0 + shrunk))
        z = tl.where(at < size, tl.where(z < 0, -cap * bent, cap * bent), float("-inf"))
    return z, bend


@triton.jit
def _add_exponential(high, total, x):
    """Add e^x to sums that are kept as e^high·total, with one exponential."""
    shrunk = tl.exp(-tl.abs(x - high))
    total = tl.where(x > high, total * shrunk + 1.0, total + shrunk)
    return tl.maximum(high, x), total


@triton.jit
def _log_sum(high, total):
    """The logarithm of all lanes' sums together."""
    top = tl.max(high, 0)
    return top + tl.log(tl.sum(total * tl.exp(high - top), 0))


@triton.jit
def _term_and_slope(log_p, log_q, p, q, kind: tl.constexpr):
    """A token's part of the divergence, and what the gradient is made of.

    Forward and reverse KL are sums of terms that are at least 0: with p − q or q − p, which sum to
    0, errors of the normalisers cancel to first order.
    """
    slope = p
    if kind == 0:
        term = tl.where(q > 0, q * (log_q - log_p), 0.0) + (p - q)
    elif kind == 1:
        slope = tl.where(p > 0, log_p - log_q, 0.0)
        term = p * slope + (q - p)
    else:
        middle = (p + q) * 0.5
        log_m = tl.log(tl.where(middle > 0, middle, 1.0))
        slope = tl.where(p > 0, log_p - log_m, 0.0) * 0.5
        term = p * slope + tl.where(q > 0, q * (log_q - log_m), 0.0) * 0.5
    return term, slope


@triton.jit
def _scale(tensor, factor, size, block: tl.constexpr):
    """Multiply a block of numbers, unless by 1."""
    by = tl.load(factor).to(tl.float32)
    if by != 1.0:
        at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        x = tl.load(tensor + at, mask=at < size)
        tl.store(tensor + at, (x.to(tl.float32) * by).to(x.dtype), mask=at < size)
