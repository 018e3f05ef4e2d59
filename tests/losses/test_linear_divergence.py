import math

import pytest
import torch

from tiltlm.errors import ConfigError, ShapeError
from tiltlm.losses.divergences import DIVERGENCES
from tiltlm.losses.head_blocks import rows_of_a_block
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


def test_logits_are_float32_even_where_all_that_they_are_made_of_is_bfloat16():
    torch.manual_seed(4)
    hidden, weight = 4 * torch.randn(40, 64), torch.randn(700, 64)
    target = torch.randn(700).double().log_softmax(-1)
    found, exact = (
        [t.bfloat16().to(dtype).requires_grad_() for t in (hidden, weight)]
        for dtype in (torch.bfloat16, torch.float64)
    )
    losses = [linear_kl(h, w, target.to(torch.float32)).loss for h, w in (found, exact)]
    for loss in losses:
        loss.backward()
    assert losses[0].dtype == torch.float32
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for low, high in zip(found, exact, strict=True):
        assert low.grad.dtype == torch.bfloat16
        assert (low.grad.double() - high.grad).norm() < 0.006 * high.grad.norm()


def test_an_adapter_of_a_bfloat16_head_is_not_rounded():
    p = pieces(torch.float32)
    columns, target = (p["columns"] * 1e-3).detach().requires_grad_(), target_of("fixed").float()
    halves = {k: p[k].detach().bfloat16() for k in ("hidden", "weight")}
    found, exact = (
        linear_kl(
            *(halves[k].to(dtype) for k in ("hidden", "weight")),
            target,
            low_rank=(p["inputs"].to(wide), columns.to(wide)),
        ).loss.item()
        for dtype, wide in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64))
    )
    assert found == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("rows", [16, 200])
def test_gradients_of_many_blocks_are_summed_in_more_than_bfloat16(rows, monkeypatch):
    monkeypatch.setattr("tiltlm.losses.head_blocks.BLOCK_NUMBERS", rows * 64)
    torch.manual_seed(5)
    hidden, weight = torch.rand(1600, 8).bfloat16(), torch.randn(64, 8).bfloat16()
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        learnt = weight.detach().to(dtype).requires_grad_()
        linear_kl(hidden.to(dtype), learnt, torch.full((64,), -math.log(64))).loss.backward()
        gradients.append(learnt.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 0.006 * gradients[1].norm()


@pytest.mark.parametrize("count", [1, 100, 2048, 8192, 1 << 20])
def test_a_block_is_an_eighth_of_all_logits_at_most_where_that_is_more_than_the_usual(
    count, monkeypatch
):
    usual = 1 << 24
    monkeypatch.setattr("tiltlm.losses.head_blocks.BLOCK_NUMBERS", usual)
    alone, beside = (
        50257 * rows_of_a_block(count, 50257, torch.device("cpu"), alone=alone)
        for alone in (True, False)
    )
    assert alone <= max(usual, min(count * 50257 / 8, 4 * usual)) + 50257
    assert min(count * 50257, usual) / 2 <= beside <= min(alone, usual)


def test_gradients_are_given_away_once():
    p = pieces()
    loss = ours(p, target_of("fixed"), HEADS["plain"], torch.ones(ROWS), "forward_kl").loss
    loss.backward(retain_graph=True)
    first = p["hidden"].grad.clone()
    with pytest.raises(ConfigError, match="given away"):
        loss.backward()
    assert torch.equal(p["hidden"].grad, first)


def test_second_derivatives_are_refused_even_among_others_that_exist():
    p = pieces()
    loss = ours(p, target_of("fixed"), HEADS["plain"], torch.ones(ROWS), "forward_kl").loss
    (slope,) = torch.autograd.grad(loss, p["hidden"], create_graph=True)
    penalty = (slope * p["hidden"]).sum() + p["hidden"].square().sum()
    with pytest.raises(ConfigError, match="second derivative"):
        penalty.backward()


def test_where_no_row_counts_loss_and_gradients_are_zero():
    for denominator in (None, torch.tensor(0.0), 3.0):
        p = pieces()
        loss = ours(
            p, target_of("per row"), HEADS["plain"], torch.zeros(ROWS), "forward_kl",
            denominator=denominator,
        ).loss  # fmt: skip
        loss.backward()
        assert loss.item() == 0
        assert all(torch.equal(t.grad, torch.zeros_like(t)) for t in p.values())


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("kind", ["fixed", "per row"])
def test_tokens_that_neither_model_nor_target_allows_change_nothing(divergence, kind):
    p, all_of_it = pieces(), pieces()
    allowed, target = torch.arange(SIZE) % 4 > 0, target_of(kind)
    some = {k: v[allowed] if len(v) == SIZE else v for k, v in p.items()}
    weights = torch.ones(ROWS)
    alone = ours(some, target[..., allowed].log_softmax(-1), HEADS["plain"], weights, divergence)
    alone.loss.backward()
    masked = dict(all_of_it, bias=all_of_it["bias"].masked_fill(~allowed, -torch.inf))
    aim = target.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    loss = ours(masked, aim, HEADS["plain"], weights, divergence).loss
    loss.backward()
    assert loss.item() == pytest.approx(alone.loss.item())
    compare(all_of_it, p, 1e-10)
