"""Attention on a GPU by kernels that need no plan for each shape."""

import pytest
import torch

from tiltlm.models.attention import attention_without_plans
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.head import hidden_states
from tiltlm.models.sampling import sample

CUDA = torch.device("cuda")


@pytest.fixture
def cudnn(monkeypatch):
    """The process's setting, as if there were a GPU that has cuDNN."""
    setting = {"on": True}
    monkeypatch.setattr(torch.backends.cuda, "cudnn_sdp_enabled", lambda: setting["on"])
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", lambda on: setting.update(on=on))
    return setting


def test_cudnn_is_left_out_for_as_long_as_asked_and_then_is_what_it_was(cudnn):
    with attention_without_plans(CUDA):
        assert not cudnn["on"]
    assert cudnn["on"]
    with pytest.raises(KeyboardInterrupt), attention_without_plans(CUDA):
        raise KeyboardInterrupt
    assert cudnn["on"]


def test_who_has_left_it_out_finds_it_so_afterwards(cudnn):
    cudnn["on"] = False
    with attention_without_plans(CUDA), attention_without_plans(CUDA):
        assert not cudnn["on"]
    assert not cudnn["on"]


def test_off_a_gpu_nothing_changes(cudnn):
    with attention_without_plans(torch.device("cpu")):
        assert cudnn["on"]


def test_reading_and_drawing_do_without_it(cudnn, tiny_model, monkeypatch):
    for module in ("head", "evaluation_mode"):
        monkeypatch.setattr(f"tiltlm.models.{module}.input_device", lambda _: CUDA)
    seen = []
    tiny_model.eval().register_forward_pre_hook(lambda *_: seen.append(cudnn["on"]))
    ids = torch.zeros(1, 4, dtype=torch.long, device=tiny_model.device)
    hidden_states(tiny_model, ids)
    sample(tiny_model, ids, 2)
    with evaluating(tiny_model):
        tiny_model(input_ids=ids)
    assert len(seen) >= 4
    assert not any(seen)
