import math

import pytest
import torch

from tiltlm.errors import ConfigError, ShapeError
from tiltlm.losses.divergences import DIVERGENCES
from tiltlm.losses.head_target import TargetFromHead
from tiltlm.losses.linear_divergence import HeadOptions, linear_kl
from tiltlm.losses.row_gradients import ROW_GRADIENTS

ROWS, WIDTH, SIZE, RANK = 50, 12, 90, 3
HEADS = {
    "plain": HeadOptions(),
    "scaled": HeadOptions(scale=0.3),
    "capped": HeadOptions(cap=2.0),
    "scaled and capped": HeadOptions(scale=1.7, cap=3.0),
}


def test_every_divergence_has_its_gradient():
    assert set(ROW_GRADIENTS) == set(DIVERGENCES)


def pieces(dtype=torch.float64):
    """Hidden states, head, bias, and a low-rank addition, all to be differentiated."""
    torch.manual_seed(1)
    shapes = {
        "hidden": (ROWS, WIDTH),
        "weight": (SIZE, WIDTH),
        "bias": (SIZE,),
        "inputs": (ROWS, RANK),
        "columns": (SIZE, RANK),
    }
    return {k: torch.randn(s, dtype=dtype).requires_grad_() for k, s in shapes.items()}


def target_of(kind):
    torch.manual_seed(2)
    if kind == "fixed":
        return torch.randn(SIZE, dtype=torch.float64).log_softmax(-1)
    if kind == "forbidding":
        target = torch.randn(SIZE, dtype=torch.float64)
        target[::3] = -torch.inf
        return target.log_softmax(-1)
    return torch.randn(ROWS, SIZE, dtype=torch.float64).log_softmax(-1)


def eager(p, target, head, weights, divergence):
    """The definition, through all logits, differentiated by autograd."""
    raw = p["hidden"] @ p["weight"].T + p["bias"] + p["inputs"] @ p["columns"].T
    logits = head.scale * raw
    if head.cap is not None:
        logits = head.cap * torch.tanh(logits / head.cap)
    each = DIVERGENCES[divergence](target, logits.log_softmax(-1))
    return (weights * each).sum() / weights.sum()


def ours(p, target, head, weights, divergence, **more):
    rows = target if target.ndim == 1 else lambda at: target[at]
    return linear_kl(
        p["hidden"], p["weight"], rows, bias=p["bias"], low_rank=(p["inputs"], p["columns"]),
        head=head, row_weights=weights, divergence=divergence, **more,
    )  # fmt: skip


def compare(found, expected, tolerance):
    for name, piece in found.items():
        error = (piece.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert error < tolerance, name


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("tiltlm.losses.head_blocks.BLOCK_NUMBERS", 16 * SIZE)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("kind", ["fixed", "per row", "forbidding"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_gradients_are_those_of_autograd_through_all_logits(divergence, kind, head, dtype):
    if kind == "forbidding" and divergence == "reverse_kl":
        pytest.skip("reverse KL to a target that forbids tokens is infinite")
    weights = torch.rand(ROWS, dtype=torch.float64)
    target, tolerance = target_of(kind), 1e-10 if dtype == torch.float64 else 1e-5
    expected = pieces()
    reference = eager(expected, target, HEADS[head], weights, divergence)
    reference.backward()
    found = {k: v.detach().to(dtype).requires_grad_() for k, v in expected.items()}
    loss = ours(found, target.to(dtype), HEADS[head], weights, divergence).loss
    loss.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=tolerance)
    compare(found, expected, tolerance)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("per_row", [False, True])
def test_over_a_real_vocabulary_float32_loses_a_few_millionths_of_a_nat(
    divergence, per_row, monkeypatch
):
    monkeypatch.undo()
    torch.manual_seed(0)
    hidden, weight = torch.randn(24, 64), torch.randn(50257, 64) * 0.4
    base = (hidden @ weight.T).double().log_softmax(-1)
    tilted = base + 0.3 * (torch.rand(50257) < 0.02)
    target = tilted.log_softmax(-1) if per_row else tilted.log_softmax(-1)[0]
    logits = hidden.double() @ weight.double().T
    exact = DIVERGENCES[divergence](target, logits.log_softmax(-1)).mean()
    rows = (lambda at: target[at].float()) if per_row else target.float()
    found = linear_kl(hidden, weight, rows, divergence=divergence).loss
    assert found.item() == pytest.approx(exact.item(), rel=1e-5, abs=4e-6)


def test_only_gradients_that_somebody_needs_are_made():
    p = pieces()
    for name in ("weight", "bias", "inputs"):
        p[name].requires_grad_(False)
    ours(p, target_of("fixed"), HEADS["plain"], torch.ones(ROWS), "forward_kl").loss.backward()
    assert [n for n, t in p.items() if t.grad is not None] == ["hidden", "columns"]


def test_the_step_s_denominator_makes_two_halves_a_whole():
    whole, halves = pieces(), pieces()
    weights, target = torch.rand(ROWS, dtype=torch.float64), target_of("per row")
    ours(whole, target, HEADS["plain"], weights, "forward_kl").loss.backward()
    for at in (slice(0, 20), slice(20, ROWS)):
        part = {k: v[at] if len(v) == ROWS else v for k, v in halves.items()}
        ours(
            part, target[at], HEADS["plain"], weights[at], "forward_kl", denominator=weights.sum()
        ).loss.backward()
    compare(halves, whole, 1e-10)


def test_the_event_s_mass_is_that_of_the_softmax():
    p, event = pieces(), torch.rand(SIZE) < 0.3
    for divergence in DIVERGENCES:
        weights = torch.ones(ROWS)
        mass = ours(
            p, target_of("fixed"), HEADS["plain"], weights, divergence, event=event
        ).event_mass
        logits = p["hidden"] @ p["weight"].T + p["bias"] + p["inputs"] @ p["columns"].T
        assert torch.allclose(mass, logits.softmax(-1)[:, event].sum(-1))


def test_a_loss_that_is_scaled_afterwards_scales_its_gradients():
    first, second = pieces(), pieces()
    weights, target = torch.ones(ROWS), target_of("fixed")
    (3 * ours(first, target, HEADS["plain"], weights, "forward_kl").loss).backward()
    ours(second, target, HEADS["plain"], weights, "forward_kl").loss.backward()
    for name, piece in first.items():
        assert torch.allclose(piece.grad, 3 * second[name].grad), name


def test_under_autocast_products_are_bfloat16_and_sums_are_not():
    found, expected = pieces(torch.float32), pieces(torch.float32)
    weights, target = torch.ones(ROWS), target_of("fixed").float()
    eager(expected, target, HEADS["plain"], weights, "forward_kl").backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ours(found, target, HEADS["plain"], weights, "forward_kl").loss
    loss.backward()
    assert loss.dtype == torch.float32
    compare(found, expected, 0.03)


def test_it_works_under_torch_compile():
    p, q = pieces(torch.float32), pieces(torch.float32)
    weights, target = torch.ones(ROWS), target_of("fixed").float()

    def loss_of(hidden):
        states = torch.tanh(hidden)
        return linear_kl(states, p["weight"], target, row_weights=weights).loss

    compiled = torch.compile(loss_of, backend="eager")
    compiled(p["hidden"]).backward()
    p["weight"].grad = None
    loss_of(q["hidden"]).backward()
    assert torch.allclose(p["hidden"].grad, q["hidden"].grad)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"divergence": "total_variation"}, ConfigError),
        ({"target": torch.zeros(SIZE + 1)}, ShapeError),
        ({"hidden": torch.zeros(ROWS, WIDTH + 1)}, ShapeError),
        ({"bias": torch.zeros(SIZE + 1)}, ShapeError),
    ],
)
def test_what_does_not_fit_is_refused(change, error):
    p = pieces()
    arguments = {
        "hidden": p["hidden"],
        "weight": p["weight"],
        "target": target_of("fixed"),
    } | change
    with pytest.raises(error):
        linear_kl(**arguments)


def test_without_rows_gradients_are_zero():
    weight = torch.randn(7, 3, requires_grad=True)
    hidden = torch.zeros(0, 3, requires_grad=True)
    linear_kl(hidden, weight, torch.full((7,), -math.log(7)), denominator=1.0).loss.backward()
    assert torch.equal(weight.grad, torch.zeros(7, 3))


@pytest.mark.parametrize("cap", [None, 5.0])
@pytest.mark.parametrize("bias", [False, True])
def test_a_target_of_the_heads_own_product_is_that_of_a_reference_with_the_same_head(cap, bias):
    generator = torch.Generator().manual_seed(0)
    hidden, weight, inputs, columns, shift, added = (
        torch.randn(*shape, generator=generator)
        for shape in ((40, 6), (30, 6), (40, 2), (30, 2), (30,), (30,))
    )
    head, added = HeadOptions(0.5, cap), added if bias else None

    def reference(at):
        raw = 0.5 * torch.nn.functional.linear(hidden[at], weight, added)
        return (raw if cap is None else cap * torch.tanh(raw / cap)) + shift

    found = []
    for target in (reference, TargetFromHead(lambda at, own: own + shift)):
        learnt = columns.clone().requires_grad_()
        loss = linear_kl(
            hidden, weight, target, bias=added, low_rank=(inputs, learnt), head=head
        ).loss
        loss.backward()
        found.append((loss.detach(), learnt.grad))
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second)
