"""The documented way to train a model that is larger than a GPU, with two processes and gloo."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.commands.test_launched import environment
from tests.tiny import worded_loaded
from tiltlm.contexts.reference import Reference
from tiltlm.targets.parse import parse_target

ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "accelerate.commands.accelerate_cli", "launch"]
LAUNCH += ["--config_file", str(ROOT / "examples/fsdp.yaml")]
LAUNCH += ["--num_processes=2", "--main_process_port=0"]
TARGET = "tilt(contains('k'), 1)"


@pytest.mark.slow
def test_the_sharded_example_trains_and_saves_every_adapter(tmp_path):
    loaded = worded_loaded()
    loaded.model.bfloat16().save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    given = [str(tmp_path / "model"), TARGET, "--work", str(tmp_path / "work")]
    read = [str(ROOT / "examples/train_sharded.py"), "read", *given, "--count=32", "--length=24"]
    train = ["-m", "tests.realise.sharded_example", "train", *given]
    train += ["--steps=20", "--batch=2", "--learning-rate=1e-2"]
    run(tmp_path, read)
    said = run(tmp_path, [*LAUNCH, *train])
    assert "wrapped as FSDPPeftModelForCausalLM" in said
    first, last = map(float, re.search(r"loss ([\d.]+) at first, ([\d.]+) at last", said).groups())
    assert last < first / 4
    saved = load_file(tmp_path / "work/adapter/adapter_model.safetensors")
    layers = loaded.model.config.num_hidden_layers
    # Seven matrices a layer and the head, each with an A and a B.
    assert sum(".lora_" in name for name in saved) == 2 * (7 * layers + 1)
    assert all(bool(saved[name].any()) for name in saved if ".lora_B." in name)
    assert_closer(loaded, tmp_path)


def run(folder, command):
    """Standard output of a Python process that has to succeed."""
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(folder),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def assert_closer(loaded, folder):
    """With the saved adapter the model is less than half as far from the target as without."""
    reference: Reference = torch.load(folder / "work/reference.pt", weights_only=False)
    target = parse_target(TARGET).bind(loaded.vocabulary, loaded.tokenizer)
    adapted = PeftModel.from_pretrained(loaded.model, folder / "work/adapter").eval()
    ids = reference.contexts.sequences[0][None]
    with torch.no_grad():
        with adapted.disable_adapter():
            before = adapted(ids).logits[0].float().log_softmax(-1)
        after = adapted(ids).logits[0].float().log_softmax(-1)
    wanted = torch.log_softmax(before + target.classes()[0].float(), -1)
    gaps = [(wanted.exp() * (wanted - found)).sum(-1).mean() for found in (before, after)]
    assert gaps[1] < gaps[0] / 2
