"""The quick activation is the one that it stands for."""

import pytest
import torch

from tiltlm.models.tanh_gelu import TanhGelu


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_it_is_the_gelu_of_float64_to_rounding(dtype, scale):
    x = (scale * torch.randn(3, 700, 301)).to(dtype)  # more than one piece
    with torch.no_grad():
        found = TanhGelu()(x)
    exact = torch.nn.functional.gelu(x.double(), approximate="tanh")
    assert found.dtype == dtype
    error = (found.double() - exact).abs()
    unit = torch.finfo(dtype).eps
    assert bool((error <= unit * x.double().abs().clamp_min(1.0)).all())


def test_what_is_no_contiguous_tensor_is_read_in_its_own_order():
    x = torch.randn(4, 5, 6).transpose(0, 2)
    with torch.no_grad():
        assert torch.allclose(TanhGelu()(x), torch.nn.functional.gelu(x, approximate="tanh"))


def test_infinite_and_missing_numbers_stay_what_they_are():
    x = torch.tensor([torch.inf, torch.nan])
    with torch.no_grad():
        assert torch.equal(TanhGelu()(x).isnan(), torch.tensor([False, True]))


def test_gradients_are_those_of_pytorch():
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TanhGelu(), x)
