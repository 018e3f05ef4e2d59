import math

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import jensenshannon

from tiltlm.errors import ConfigError, ShapeError, TargetError
from tiltlm.losses.divergences import (
    DIVERGENCES,
    forward_kl,
    jensen_shannon,
    precise_kl,
    reverse_kl,
)
from tiltlm.losses.tilt_loss import TiltLoss


def random_logp(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype).mul(3).log_softmax(-1)


def sparse_probabilities(size, allowed, dtype=torch.float64):
    weights = torch.zeros(size, dtype=dtype)
    weights[:allowed] = torch.rand(allowed, dtype=dtype) + 0.1
    return weights / weights.sum()


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_a_divergence_is_zero_when_the_model_equals_the_target(name):
    logp = random_logp(2, 3, 50)
    assert DIVERGENCES[name](logp, logp).abs().max() < 1e-14


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_a_divergence_is_positive_elsewhere_and_has_one_value_a_position(name):
    found = DIVERGENCES[name](random_logp(2, 3, 50), random_logp(2, 3, 50))
    assert found.shape == (2, 3)
    assert (found > 0).all()


def test_forward_kl_agrees_with_torch():
    target, model = random_logp(4, 5, 30), random_logp(4, 5, 30)
    expected = F.kl_div(model, target, reduction="none", log_target=True).sum(-1)
    assert torch.allclose(forward_kl(target, model), expected, atol=1e-12)


def test_forward_kl_to_a_target_with_zeros_agrees_with_torch():
    target, model = sparse_probabilities(30, 7), random_logp(4, 5, 30)
    expected = F.kl_div(model, target.expand(4, 5, 30), reduction="none").sum(-1)
    assert torch.allclose(forward_kl(target.log(), model), expected, atol=1e-12)
    spread = target.expand(4, 5, 30).clone()
    assert torch.allclose(forward_kl(spread.log(), model), expected, atol=1e-12)


def test_reverse_kl_is_forward_kl_with_the_arguments_exchanged():
    target, model = random_logp(3, 40), random_logp(3, 40)
    assert torch.allclose(reverse_kl(target, model), forward_kl(model, target), atol=1e-12)


def test_jensen_shannon_agrees_with_scipy_also_where_probabilities_are_zero():
    model = random_logp(6, 20)
    for target in (random_logp(20).exp(), sparse_probabilities(20, 3)):
        expected = [jensenshannon(target.numpy(), row.exp().numpy()) ** 2 for row in model]
        found = jensen_shannon(target.log(), model)
        assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_forward_kl_is_infinite_only_where_the_model_forbids_what_the_target_allows():
    target = torch.tensor([0.5, 0.5, 0.0]).log()
    forbidding = torch.tensor([1.0, 0.0, 0.0]).log()
    assert forward_kl(target, forbidding).isinf()
    assert forward_kl(target, torch.tensor([0.5, 0.5, 0.0]).log()) == 0


def test_reverse_kl_is_infinite_only_where_the_target_forbids_what_the_model_allows():
    target = torch.tensor([1.0, 0.0]).log()
    assert reverse_kl(target, torch.tensor([0.5, 0.5]).log()).isinf()
    assert reverse_kl(target, target) == 0


@pytest.mark.parametrize(
    ("name", "sparse"),
    [  # reverse KL to a target with zeros is infinite, and refused by the trainer
        *(("forward_kl", sparse) for sparse in (False, True)),
        *(("jensen_shannon", sparse) for sparse in (False, True)),
        ("reverse_kl", False),
    ],
)
def test_gradients_are_those_of_finite_differences(name, sparse):
    target = sparse_probabilities(8, 3).log() if sparse else random_logp(8)
    logits = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: DIVERGENCES[name](target, z.log_softmax(-1)), (logits,)
    )


def test_the_gradient_of_forward_kl_with_respect_to_the_logits_is_p_minus_q():
    target = sparse_probabilities(50, 9)
    logits = torch.randn(3, 50, dtype=torch.float64, requires_grad=True)
    forward_kl(target.log(), logits.log_softmax(-1)).sum().backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, logits.softmax(-1) - target, atol=1e-12)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="do not fit"):
        forward_kl(random_logp(2, 30), random_logp(3, 30))


def test_the_loss_is_the_articles_at_the_last_position():
    log_probs, target = random_logp(4, 6, 30), sparse_probabilities(30, 5)
    expected = F.kl_div(log_probs[:, -1], target.expand(4, 30), reduction="batchmean")
    assert torch.allclose(TiltLoss()(log_probs, target), expected, atol=1e-12)
    assert torch.allclose(TiltLoss()(log_probs[:, -1], target), expected, atol=1e-12)


def test_the_loss_at_all_positions_is_the_mean_over_them():
    log_probs, target = random_logp(4, 6, 30), sparse_probabilities(30, 5)
    everywhere = TiltLoss(positions="all")(log_probs, target)
    each = torch.stack([TiltLoss()(log_probs[:, : i + 1], target) for i in range(6)])
    assert torch.allclose(everywhere, each.mean(), atol=1e-12)


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_arguments_in_the_wrong_order_are_an_error(name):
    log_probs, target = random_logp(2, 3, 30), random_logp(2, 3, 30).exp()
    with pytest.raises(TargetError, match="log-probabilities first"):
        TiltLoss(name)(target, log_probs)


def test_logits_and_a_log_target_are_errors_too():
    log_probs, target = random_logp(2, 3, 30), random_logp(30).exp()
    with pytest.raises(TargetError, match="not normalised"):
        TiltLoss()(torch.randn(2, 3, 30), target)
    with pytest.raises(TargetError, match="it is log-probabilities"):
        TiltLoss()(log_probs, target.log())


def test_a_divergence_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="no such divergence"):
        TiltLoss("forward")


def test_kl_from_a_uniform_event_to_a_uniform_model_is_log_v_over_k():
    target = torch.zeros(50257, dtype=torch.float64)
    target[:897] = 1 / 897
    model = torch.full((1, 50257), -math.log(50257), dtype=torch.float64)
    assert TiltLoss()(model, target).item() == pytest.approx(4.0258, abs=1e-4)


def test_the_precise_kl_agrees_with_float64_down_to_a_billionth_of_a_nat():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(5, 50_000, generator=generator, dtype=torch.float64) * 3
    for size in (1e-4, 1e-2, 1.0):
        other = base + size * torch.randn(5, 50_000, generator=generator, dtype=torch.float64)
        p, q = base.log_softmax(-1), other.log_softmax(-1)
        exact = (p.exp() * (p - q)).sum(-1)
        found = precise_kl(base.float().log_softmax(-1), other.float().log_softmax(-1))
        assert torch.allclose(found, exact, rtol=2e-3, atol=1e-12)


def test_the_precise_kl_allows_a_target_that_forbids_tokens():
    p = torch.tensor([[0.5, 0.5, 0.0]]).log()
    q = torch.tensor([[0.25, 0.25, 0.5]]).log()
    assert precise_kl(p, q).item() == pytest.approx(math.log(2), rel=1e-6)
