"""The loss at a Llama's head: `linear_kl` against Liger-Kernel, eager and compiled code.

Hidden states and head in bfloat16, gradients for both. There are two kinds of target: one that is
the same in every row, and one for each row, which lies ready in bfloat16. The second is the work
that Liger-Kernel's fused linear KL does: it takes (N, V) probabilities of a teacher, and makes no
product of one. `linear_kl` takes logits there and normalises them. Where the target is the same in
every row, Liger-Kernel needs it N times; ``target_mib`` says how large each one's target is. It
sums the weight's gradient in bfloat16 unless ``accum_dtype`` says otherwise, so it is there twice.

Milliseconds are the median of forward and backward pass together, by the device's own clock. Memory
is the peak beyond what was there before, so gradients count, and inputs and targets do not. Errors
are relative: that of the loss, and of the first rows of each gradient by norm, against products in
float32. Liger-Kernel's include that its probabilities are rounded to bfloat16.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F

from tiltlm.losses import block_rows, head_blocks, linear_kl, row_gradients

SHAPE, SMALL = (8192, 4096, 128256), (96, 32, 515)
"""Rows, width and vocabulary: the issue's, and one that a processor does in no time."""

_WARM, _TURNS = 2, 7
_CHECKED = 256
"""Rows of each gradient that are compared, and rows of the reference's blocks."""

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """Hidden states, head and one target, with what is true of them.

    Attributes:
        hidden: (N, D) bfloat16.
        weight: (V, D) bfloat16.
        target: (V,) float32 log-probabilities, or (N, V) bfloat16 logits.
    """

    hidden: torch.Tensor
    weight: torch.Tensor
    target: torch.Tensor

    @property
    def fixed(self) -> bool:
        """Whether the target is the same in every row."""
        return self.target.ndim == 1

    def log_q(self, at: slice) -> torch.Tensor:
        """(V,) or (rows, V) float32 log-probabilities of the target at some rows."""
        return self.target if self.fixed else self.target[at].float().log_softmax(-1)

    @cached_property
    def truth(self) -> tuple[float, torch.Tensor, torch.Tensor]:
        """The loss, and the first rows of both gradients, from float32 products and no other."""
        loss, count = 0.0, len(self.hidden)
        weight = self.weight.float()
        for_weight = torch.zeros_like(weight[:_CHECKED])
        for first in range(0, count, _CHECKED):
            at = slice(first, first + _CHECKED)
            hidden, log_q = self.hidden[at].float(), self.log_q(at)
            log_p, q = (hidden @ weight.T).log_softmax(-1), log_q.exp()
            loss += float((q * (log_q - log_p)).sum(dtype=torch.float64)) / count
            slopes = (log_p.exp() - q) / count
            for_weight += slopes[:, :_CHECKED].T @ hidden
            if first == 0:
                for_hidden = slopes @ weight
        return loss, for_hidden, for_weight


def loss_rows(device: str | torch.device, small: bool) -> list[dict[str, Any]]:
    """Every contestant, on one device.

    Args:
        device: where.
        small: tiny shapes: does it run at all.

    Returns:
        a dictionary for each: ``group``, ``name``, ``shape``, ``dtype``, ``ms``, ``ms_least``,
        ``peak_mib``, ``target_mib``, ``loss``, ``loss_error``, ``hidden_error`` and
        ``weight_error``, or ``skipped`` with a reason. The first of each group is the floor, which
        has a time alone.
    """
    device = torch.device(device)
    found = []
    for title, per_row in (
        ("the same target in every row", False),
        ("a target for each row", True),
    ):
        case = _case(device, SMALL if small else SHAPE, per_row=per_row)
        with _full_float32():
            case.truth  # noqa: B018  (made before anything is timed)
        of = {"group": title, "shape": list(_shape(case)), "dtype": "bfloat16"}
        found.append(of | {"name": "bare products", "ms": _floor(case)})
        for name, make in _contestants(case, small).items():
            found.append(of | {"name": name} | _measured(case, make))
        del case
        _forget(device)
    return found


# -- contestants ------------------------------------------------------------------------------


def _contestants(case: Case, small: bool) -> dict[str, Callable[[], Loss]]:
    """By name, what makes each loss; what is wanting is found out when it is made."""
    blocks = head_blocks.GPU_BLOCK_NUMBERS
    found: dict[str, Callable[[], Loss]] = {
        "linear_kl": partial(_ours, case),
        "linear_kl, blocks of half the size": partial(
            _ours, case, head_blocks, "GPU_BLOCK_NUMBERS", blocks // 2
        ),
        "linear_kl, weight summed in float32": partial(
            _ours, case, head_blocks, "_ROUNDED_BLOCKS", 0
        ),
        "linear_kl, rows by eager code": partial(
            _ours, case, block_rows, "kernels_for", lambda _: None
        ),
        "Liger-Kernel": partial(_liger, case, None),
        "Liger-Kernel, weight summed in float32": partial(_liger, case, torch.float32),
        "eager, all logits": partial(_eager, case),
    }
    if not small:  # compiling takes its seconds whatever the shape
        found["linear_kl, rows by torch.compile"] = partial(_ours_compiled, case)
        found["torch.compile of eager"] = partial(_eager, case, compiled=True)
    return found


def _ours(case: Case, place: Any = None, name: str = "", value: Any = None) -> Loss:
    """`linear_kl`, where something is wanted with one of its private settings changed."""
    target: Any = case.target if case.fixed else lambda at: case.target[at]

    def loss(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if place is None:
            return linear_kl(hidden, weight, target).loss
        with mock.patch.object(place, name, value):
            return linear_kl(hidden, weight, target).loss

    return loss


def _ours_compiled(case: Case) -> Loss:
    """`linear_kl` with its eager functions of rows compiled, in place of its own kernel."""
    rows = torch.compile(row_gradients.ROW_GRADIENTS["forward_kl"], dynamic=False)
    inner = _ours(case, block_rows, "kernels_for", lambda _: None)

    def loss(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        with mock.patch.dict(row_gradients.ROW_GRADIENTS, forward_kl=rows):
            return inner(hidden, weight)

    return loss


def _liger(case: Case, sums: torch.dtype | None) -> Loss:
    """Liger-Kernel's fused linear KL; a target that is the same in every row is spread out."""
    from liger_kernel.transformers.fused_linear_kl_div import LigerFusedLinearKLDivLoss

    module = LigerFusedLinearKLDivLoss(accum_dtype=sums)
    rows = [slice(first, first + _CHECKED) for first in range(0, len(case.hidden), _CHECKED)]
    target = case.hidden.new_empty(len(case.hidden), len(case.weight))
    for at in rows:
        target[at] = case.log_q(at).exp()
    return partial(_called, module, target)


def _called(
    module: Any, target: torch.Tensor, hidden: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Liger-Kernel's order of arguments."""
    found: torch.Tensor = module(hidden, weight, target)
    return found


def _eager(case: Case, *, compiled: bool = False) -> Loss:
    """All logits, and torch's own loss; perhaps through torch.compile."""
    function: Any = torch.compile(_all_logits, dynamic=False) if compiled else _all_logits

    def loss(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = function(hidden, weight, case.target)
        return found

    return loss


def _all_logits(hidden: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Log-probabilities in float32 of logits in bfloat16, as models hand them out."""
    log_p = F.log_softmax(hidden @ weight.T, dim=-1, dtype=torch.float32)
    if target.ndim == 1:
        log_q = target.expand_as(log_p)
    else:
        log_q = F.log_softmax(target, dim=-1, dtype=torch.float32)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)


def _floor(case: Case) -> float:
    """Milliseconds of the three products without which there is no gradient, a quarter at once."""
    hidden, weight = case.hidden, case.weight
    part = hidden[: max(1, len(hidden) // 4)]
    logits, for_weight = part @ weight.T, torch.zeros_like(weight)
    times = []
    for _ in range(_WARM + _TURNS):
        with _stopwatch(hidden.device) as milliseconds:
            for _ in range(4):
                torch.mm(part, weight.T, out=logits)
                torch.mm(logits, weight)
                torch.addmm(for_weight, logits.T, part, beta=0, out=for_weight)
        times.append(milliseconds[0])
    return statistics.median(times[_WARM:])


# -- measuring --------------------------------------------------------------------------------


def _measured(case: Case, make: Callable[[], Loss]) -> dict[str, Any]:
    """Time, memory and errors of one contestant, or why there are none."""
    device = case.hidden.device
    try:
        loss = make()
        target = loss.args[1] if isinstance(loss, partial) else case.target
        times = [_timed(case, loss)[0] for _ in range(_WARM + _TURNS)][_WARM:]
        before = _fresh_peak(device)
        _, value, gradients = _timed(case, loss)
        peak = (
            None if before is None else (torch.cuda.max_memory_allocated(device) - before) / 2**20
        )
        errors, size = _errors(case, value, gradients), target.nbytes / 2**20
    except Exception as error:  # whatever one of them stumbles over, the others still run
        return {"skipped": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"}
    finally:
        loss = gradients = target = None  # type: ignore[assignment]
        _forget(device)
    figures = {
        "ms": statistics.median(times),
        "ms_least": min(times),
        "peak_mib": peak,
    }
    return figures | {"target_mib": size} | errors


def _timed(case: Case, loss: Loss) -> tuple[float, float, list[torch.Tensor]]:
    """Milliseconds of a forward and backward pass, the loss, and both gradients."""
    tensors = [t.detach().requires_grad_() for t in (case.hidden, case.weight)]
    with _stopwatch(case.hidden.device) as milliseconds:
        found = loss(*tensors)
        found.backward()
    return milliseconds[0], found.item(), [t.grad for t in tensors if t.grad is not None]


@contextmanager
def _stopwatch(device: torch.device) -> Iterator[list[float]]:
    """A list that holds the milliseconds when the block is over."""
    found: list[float] = []
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        begin.record()
        yield found
        end.record()
        torch.cuda.synchronize(device)
        found.append(begin.elapsed_time(end))
    else:
        started = time.perf_counter()
        yield found
        found.append((time.perf_counter() - started) * 1e3)


def _fresh_peak(device: torch.device) -> int | None:
    """Forget the peak so far; bytes in use, or None where nobody counts them."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _errors(case: Case, value: float, gradients: list[torch.Tensor]) -> dict[str, float]:
    loss, *expected = case.truth
    found = {"loss": value, "loss_error": abs(value - loss) / abs(loss)}
    for name, right, gradient in zip(("hidden", "weight"), expected, gradients, strict=True):
        difference = gradient[:_CHECKED].float() - right
        found[f"{name}_error"] = float(difference.norm() / right.norm())
    return found


# -- inputs -----------------------------------------------------------------------------------


def _case(device: torch.device, shape: tuple[int, int, int], *, per_row: bool) -> Case:
    """Random inputs whose logits have a deviation of about 1, as has the target's logarithm."""
    rows, width, size = shape
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*of: int) -> torch.Tensor:
        return torch.randn(*of, generator=generator, device=device, dtype=torch.bfloat16)

    hidden, weight = drawn(rows, width), drawn(size, width).mul_(width**-0.5)
    if not per_row:
        return Case(hidden, weight, drawn(size).float().log_softmax(-1))
    return Case(hidden, weight, drawn(rows, size))


def _shape(case: Case) -> tuple[int, int, int]:
    return (*case.hidden.shape, len(case.weight))


@contextmanager
def _full_float32() -> Iterator[None]:
    """Products of float32 that are float32, for the reference."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _forget(device: torch.device) -> None:
    """Give memory back to the device, so that one contestant's leavings are not another's lack."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
