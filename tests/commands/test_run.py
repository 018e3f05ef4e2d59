import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from tests import forked
from tests.conftest import TINY_RUN
from tiltlm import files, load, load_recipe, run_recipe
from tiltlm.errors import ConfigError, InterruptedRun, RunError, StorageError
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.records.run import RunRecord

STEPS = ["train.steps=8", "train.batch=2", "train.save_every=2"]


def tiny(*more):
    return load_recipe("quick", [*TINY_RUN, *STEPS, *more])


def command(out, *more):
    sets = [part for item in (*TINY_RUN, *STEPS, *more) for part in ("--set", item)]
    return ["run", "quick", "--out", str(out), *sets]


def test_a_run_leaves_all_that_it_promises(tmp_path):
    out = tmp_path / "run"
    record = run_recipe(tiny(), out, seed=3)
    assert sorted(path.name for path in out.iterdir()) == [
        "model",
        "recipe.yaml",
        "result.json",
        "samples.jsonl",
        "tensorboard",
    ]
    again = RunRecord.model_validate_json((out / "result.json").read_text())
    assert again == record
    assert (record.kind, record.schema_version, record.seed, record.steps) == ("run", 1, 3, 8)
    assert record.event.tokens == 897
    assert record.before.tokens == record.after.tokens == 20
    assert len(record.loss.curve) == len(record.loss.event_mass_curve) == 8
    assert record.loss.first == record.loss.curve[0]
    assert record.loss.last == record.loss.curve[-1]
    assert record.training_tokens == 8 * 2 * 8
    assert len(record.before.event_mass_by_position) == 16
    assert list((out / "tensorboard").glob("events.*"))
    with safe_open(out / "model" / "model.safetensors", "pt") as weights:
        assert "transformer.wte.weight" in weights.keys()  # noqa: SIM118


def test_samples_are_json_lines_with_ids_and_hits(tmp_path):
    record = run_recipe(tiny(), tmp_path / "run")
    lines = [json.loads(x) for x in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert [line["when"] for line in lines] == ["before"] * 4 + ["after"] * 4
    assert sum(sum(line["hits"]) for line in lines if line["when"] == "after") == record.after.hits
    for line in lines:
        assert len(line["token_ids"]) == len(line["tokens"]) == len(line["hits"]) == 5
        assert line["hits"] == [int("x" in token) for token in line["tokens"]]


def test_the_saved_model_is_labelled_and_generates(tmp_path):
    record = run_recipe(tiny(), tmp_path / "run", seed=3)
    label = json.loads((tmp_path / "run" / "model" / "tilt.json").read_text())
    assert label["tilted_on_purpose"] is True
    assert label["target"] == "uniform(contains('x'))"
    assert label["measured"]["hit rate after"]["value"] == record.after.hit_rate
    assert "tilted on purpose" in (tmp_path / "run" / "model" / "README.md").read_text()
    loaded = load(tmp_path / "run" / "model")
    prompt = loaded.tokenizer("a", return_tensors="pt").to(loaded.model.device)
    assert loaded.model.generate(**prompt, max_new_tokens=3).shape == (1, 4)


def test_the_same_seed_gives_the_same_run(tmp_path):
    one, two, other = (
        run_recipe(tiny(), tmp_path / name, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one.loss == two.loss
    assert one.before.event_mass == two.before.event_mass
    assert (tmp_path / "a/samples.jsonl").read_text() == (tmp_path / "b/samples.jsonl").read_text()
    assert one.loss != other.loss


def test_training_raises_the_event_mass_and_the_hit_rate(tmp_path):
    recipe = tiny("train.steps=60", "train.save_every=0", "train.learning_rate=0.1")
    record = run_recipe(recipe, tmp_path / "run")
    assert record.after.event_mass > 0.9
    assert record.after.hits > 15
    assert record.after.kl_nats < record.before.kl_nats


def test_a_run_killed_with_sigkill_resumes_to_the_same_bits(tmp_path):
    steps = "train.steps=30"
    whole = run_recipe(tiny(steps), tmp_path / "whole")
    draw = random.Random(0)
    killed = 0
    for number in range(3):
        out = tmp_path / f"killed-{number}"
        process = forked.started(command(out, steps), os.devnull)
        # Any time from the first checkpoint on; the wait for it is what varies with the machine.
        while process.exitcode is None and not list(out.glob("checkpoints/checkpoint-*")):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.4))
        killed += process.exitcode is None
        process.kill()
        process.join()
        if not (out / "result.json").is_file():
            record = run_recipe(tiny(steps), out, resume=True)
            assert record.loss == whole.loss
    assert killed  # at least one died while it was at work


def test_ctrl_c_saves_and_exits_with_130_and_the_run_resumes(tmp_path):
    out = tmp_path / "run"
    more = ("train.steps=100000", "train.save_every=0", "train.schedule=constant")
    process = forked.started(command(out, *more), tmp_path / "log")
    while process.exitcode is None and not list(out.glob("tensorboard/events*")):
        time.sleep(0.05)
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    errors = (tmp_path / "log").read_text()
    assert process.exitcode == 130
    assert "InterruptedRun" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert list(out.glob("checkpoints/checkpoint-*"))
    assert not list(out.rglob("*.partial*"))
    assert not (out / "result.json").exists()


def test_an_interrupt_while_measuring_keeps_what_was_finished(tmp_path, monkeypatch):
    import tiltlm.commands.run as module

    original = module.measure_state
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "measure_state", interrupted)
    with pytest.raises(InterruptedRun, match="interrupted"):
        run_recipe(tiny(), tmp_path / "run", seed=5)
    monkeypatch.setattr(module, "measure_state", original)
    monkeypatch.setattr(TiltTrainer, "train", lambda *a, **k: pytest.fail("trained twice"))
    record = run_recipe(tiny(), tmp_path / "run", seed=5, resume=True)
    assert record.sittings == 2
    monkeypatch.undo()
    assert record.after.hits == run_recipe(tiny(), tmp_path / "other", seed=5).after.hits


def test_a_folder_with_another_run_or_other_files_is_refused_untouched(tmp_path):
    out = tmp_path / "run"
    run_recipe(tiny(), out, seed=1)
    before = (out / "result.json").read_bytes()
    with pytest.raises(RunError, match="this run is finished"):
        run_recipe(tiny(), out, seed=1)
    with pytest.raises(RunError, match="seed is 1 there, 2 here"):
        run_recipe(tiny(), out, seed=2)
    with pytest.raises(RunError, match=r"train\.steps is 8 there, 9 here"):
        run_recipe(tiny("train.steps=9"), out, seed=1, resume=True)
    assert (out / "result.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(RunError, match="nothing in it was touched"):
        run_recipe(tiny(), tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(RunError, match="is a file"):
        run_recipe(tiny(), tmp_path / "mine" / "thesis.txt")


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(RunError, match="no run to resume"):
        run_recipe(tiny(), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_two_processes_cannot_work_in_one_run(tmp_path, monkeypatch):
    import tiltlm.commands.run as module

    out = tmp_path / "run"
    original = module.measure_state

    def meanwhile(*args, **kwargs):
        monkeypatch.setattr(module, "measure_state", original)
        with pytest.raises(RunError, match="another process"):
            run_recipe(tiny(), out, resume=True)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "measure_state", meanwhile)
    run_recipe(tiny(), out)


def test_a_full_disk_is_seen_before_training_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda _path: 1000)
    with pytest.raises(StorageError, match="GB are free"):
        run_recipe(tiny(), tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


def test_a_disk_that_fills_up_while_writing_leaves_nothing_half_written(tmp_path):
    # A limit on the size of files stands in for the full disk: the same calls fail.
    out = tmp_path / "run"
    process = forked.started(command(out), tmp_path / "log", largest_file=300_000)
    process.join(120)
    errors = (tmp_path / "log").read_text()
    assert process.exitcode == 2
    assert "StorageError" in errors
    assert "Traceback" not in errors
    assert not list(out.rglob("*.partial*"))
    assert not (out / "result.json").exists()


def test_contexts_longer_than_the_model_reads_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="at most 16"):
        run_recipe(tiny("test.prompt_tokens=17"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_split_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not split"):
        run_recipe(tiny("train.gradient_accumulation=3"), tmp_path / "run")


def test_the_recipe_in_the_folder_runs_again(tmp_path):
    run_recipe(tiny(), tmp_path / "run", seed=4)
    data = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert data.pop("seed") == 4
    Path(tmp_path / "again.yaml").write_text(yaml.safe_dump(data))
    assert load_recipe(str(tmp_path / "again.yaml")) == tiny()
