"""What commands hold beyond the weights, against the formula of docs/scaling.md."""

import pytest
from benchmarks.speed.memory import GIB, SHAPES, TASKS, formula, make_model, measured, perturb

from tiltlm.models.memory import weight_bytes


def test_the_formula_leaves_every_command_on_a_1b_model_within_its_weights_and_3_gib():
    libraries = 0.55
    for task in TASKS:
        assert formula(task, SHAPES["llama-1b"]) / GIB + libraries < 3, task


@pytest.mark.slow
def test_commands_hold_no_more_than_the_formula_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    shape = SHAPES["small"]
    make_model(tmp_path / "base", shape)
    perturb(tmp_path / "base", tmp_path / "moved" / "model")
    weights = weight_bytes(str(tmp_path / "base"))
    for task in ("decode", "edit", "audit", "turns"):
        held = measured(task, tmp_path)
        assert held["peak"] > held["before"], task
        extra = held["peak"] - held["before"] - TASKS[task][0] * weights
        assert extra < formula(task, shape), task
