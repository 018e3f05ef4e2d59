import pytest
import torch

from .distributed_script import train

CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU that CUDA knows: bfloat16 is tried on the CPU"
)


@pytest.mark.parametrize("lora", [None, "body+head"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_steps_in_bfloat16_are_those_in_float32_to_a_few_percent(tmp_path, device, lora):
    curves = []
    for half in (False, True):
        options = {"bf16": half, "use_cpu": device == "cpu", "max_steps": 4}
        case = {
            "target": "tilt",
            "lora": lora,
            "options": options,
            "out": str(tmp_path / str(half)),
        }
        found = train(case)
        assert {w.dtype for w in found["weights"].values()} == {torch.float32}
        curves.append(found["loss"])
    assert curves[0] != curves[1]
    assert curves[1] == pytest.approx(curves[0], rel=0.05)
