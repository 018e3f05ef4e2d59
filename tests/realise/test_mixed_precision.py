import pytest
import torch

from tests.devices import EMULATED, chosen
from tests.realise.distributed_script import train
from tiltlm.errors import ConfigError
from tiltlm.realise.config import TiltConfig

CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU that CUDA knows: bfloat16 is tried on the CPU"
)


HALF = {"all products": {"bf16": True}, "only the body's": {"body_precision": "bfloat16"}}


@pytest.mark.parametrize("half", HALF)
@pytest.mark.parametrize("lora", [None, "body+head"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_steps_in_bfloat16_are_those_in_float32_to_a_few_percent(tmp_path, device, lora, half):
    if chosen().type == EMULATED:
        pytest.skip("the emulated device has no mixed precision")
    curves = []
    for change in ({}, HALF[half]):
        options = {"use_cpu": device == "cpu", "max_steps": 4, **change}
        case = {
            "target": "tilt",
            "lora": lora,
            "options": options,
            "out": str(tmp_path / str(len(curves))),
        }
        found = train(case)
        assert {w.dtype for w in found["weights"].values()} == {torch.float32}
        curves.append(found["loss"])
    assert curves[0] != curves[1]
    assert curves[1] == pytest.approx(curves[0], rel=0.05)


def test_a_precision_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such precision"):
        TiltConfig(output_dir=str(tmp_path), body_precision="float8")
