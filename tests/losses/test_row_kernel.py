import os

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with torch where there is a GPU")

from tiltlm.losses import block_rows, linear_kl, row_kernel
from tiltlm.losses.block_rows import BlockMemory
from tiltlm.losses.row_gradients import ROW_GRADIENTS

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
pytestmark = pytest.mark.skipif(
    not GPU and os.environ.get("TRITON_INTERPRET") != "1",
    reason="no GPU, and TRITON_INTERPRET=1 is not set",
)
ROWS = 5


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(row_kernel, "BLOCK", 32)


def logits_of(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(ROWS, size, generator=generator, dtype=torch.float64)).to(DEVICE)


def target_of(kind, size):
    target = logits_of(size, seed=1)
    if kind == "forbidding":
        target[:, ::3] = -torch.inf
    return target if kind == "per row" else target[0].log_softmax(-1)


def weights_of():
    return torch.tensor([0.5, 0.0, 1.0, 2.0, 0.25], dtype=torch.float64, device=DEVICE)


def expected_of(logits, target, divergence, event):
    log_q = target.log_softmax(-1) if target.ndim == 2 else target
    logits = logits.clone()
    rows = ROW_GRADIENTS[divergence](logits, log_q, log_q.exp(), weights_of(), event)
    return rows, logits


def in_memory(logits, product):
    memory = BlockMemory(ROWS, logits.shape[1], torch.float32, product, torch.device(DEVICE))
    memory.logits(ROWS).copy_(logits)
    return memory.logits(ROWS), memory.gradient(ROWS)


@pytest.mark.parametrize("divergence", ROW_GRADIENTS)
@pytest.mark.parametrize("kind", ["fixed", "per row", "forbidding"])
@pytest.mark.parametrize("size", [3, 32, 96, 101])
@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_the_kernel_does_what_the_eager_functions_do(divergence, kind, size, product):
    if kind == "forbidding" and divergence == "reverse_kl":
        pytest.skip("reverse KL to a target that forbids tokens is infinite")
    target, event = target_of(kind, size), (torch.arange(size, device=DEVICE) % 4 == 0).double()
    rows, slopes = expected_of(logits_of(size), target, divergence, event)
    logits, gradient = in_memory(logits_of(size), product)
    found = row_kernel.fused_rows(
        logits, gradient, target.float(), weights_of().float(), divergence, event=event.float()
    )
    torch.testing.assert_close(found.nats.double(), rows.nats, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.event_mass.double(), rows.event_mass, rtol=1e-5, atol=1e-6)
    tolerance = 1e-5 if product == torch.float32 else 2**-7  # the interpreter cuts digits off
    torch.testing.assert_close(gradient.double(), slopes, rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("divergence", ROW_GRADIENTS)
def test_bias_and_soft_cap_are_those_of_autograd(divergence):
    size, cap = 75, 4.0
    raw = logits_of(size).requires_grad_()
    bias, target = logits_of(size, seed=2)[0], target_of("per row", size)
    capped = (cap * torch.tanh((raw + bias) / cap)).clone()
    capped.retain_grad()
    rows, slopes = expected_of(capped.detach(), target, divergence, None)
    capped.backward(slopes)
    logits, gradient = in_memory(raw.detach(), torch.float32)
    found = row_kernel.fused_rows(
        logits, gradient, target.float(), weights_of().float(), divergence,
        bias=bias.float(), cap=cap,
    )  # fmt: skip
    torch.testing.assert_close(found.nats.double(), rows.nats, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), raw.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("divergence", ROW_GRADIENTS)
def test_tokens_that_neither_side_allows_take_no_part(divergence):
    size = 70
    some = torch.arange(size, device=DEVICE) % 5 > 0
    logits, target = logits_of(size), logits_of(size, seed=1)
    alone, _ = expected_of(logits[:, some], target[:, some], divergence, None)
    forbidden, aim = (t.masked_fill(~some, -torch.inf) for t in (logits, target))
    there, gradient = in_memory(forbidden, torch.bfloat16)
    found = row_kernel.fused_rows(there, gradient, aim.float(), weights_of().float(), divergence)
    torch.testing.assert_close(found.nats.double(), alone.nats, rtol=1e-5, atol=1e-6)
    assert (gradient[:, ~some] == 0).all()
    assert (gradient[weights_of() == 0] == 0).all()


def test_a_divergence_of_billionths_of_a_nat_is_not_lost_in_rounding():
    logits = logits_of(1000)
    target = logits + 1e-4 * logits_of(1000, seed=1)
    there, gradient = in_memory(logits, torch.float32)
    wide = target.float().double()  # what the kernel is given
    log_q = wide.log_softmax(-1)
    log_p = there.double().log_softmax(-1)
    exact = (log_q.exp() * (log_q - log_p)).sum(-1)
    found = row_kernel.fused_rows(
        there, gradient, target.float(), weights_of().float(), "forward_kl"
    )
    torch.testing.assert_close(found.nats.double(), exact, rtol=0.02, atol=0)


@pytest.mark.parametrize("per_row", [False, True])
def test_through_the_kernel_linear_kl_has_the_same_loss_and_gradients(per_row, monkeypatch):
    monkeypatch.setattr("tiltlm.losses.head_blocks.BLOCK_NUMBERS", 16 * 90)
    monkeypatch.setattr("tiltlm.losses.head_blocks.GPU_BLOCK_NUMBERS", 128 * 90)
    generator = torch.Generator().manual_seed(3)
    shapes = ((300, 12), (90, 12), (90,))
    drawn = [torch.randn(*shape, generator=generator).to(DEVICE) for shape in shapes]
    target = torch.randn(300, 90, generator=generator).to(DEVICE)
    aim = (lambda at: target[at]) if per_row else target[0].log_softmax(-1)
    found = []
    for kernels in (None, row_kernel):
        monkeypatch.setattr(block_rows, "kernels_for", lambda _, chosen=kernels: chosen)
        hidden, weight, bias = (t.clone().requires_grad_() for t in drawn)
        loss = linear_kl(hidden, weight, aim, bias=bias).loss
        (2 * loss).backward()
        found.append((loss.detach(), hidden.grad, weight.grad, bias.grad))
    for eager, fused in zip(*found, strict=True):
        torch.testing.assert_close(fused, eager, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scaling_is_multiplication(factor, dtype):
    numbers = logits_of(50).to(dtype)
    expected = (numbers.float() * factor).to(dtype)
    row_kernel.scale_in_place(numbers, torch.tensor(factor, device=DEVICE))
    torch.testing.assert_close(numbers, expected)
