"""Commands that several processes of a launcher share: the same as one gives, to the bit."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import worded_loaded

ROOT = Path(__file__).parents[2]
ACCELERATE = ["-m", "accelerate.commands.accelerate_cli", "launch", "--num_machines=1"]
# Without a GPU accelerate takes --num_processes for granted only with --multi_gpu.
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no", "--multi_gpu", "--num_processes=2"]
ACCELERATE += ["--main_process_port=0"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node=2"]
TORCHRUN += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reference and a text, and the pack and the sweep that one process makes of them."""
    folder = tmp_path_factory.mktemp("launched")
    loaded = worded_loaded()
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    text = " ".join(f"bado{'kilu'[: 2 + i % 3]} menopi rusota" for i in range(600))
    (folder / "text.txt").write_text(text)
    said = started(folder, [["-m", "tiltlm", *null(folder, "one")]])
    assert said[0][0] == 0, said
    return folder


def null(folder, out, *more):
    """Arguments that build a pack of eight members."""
    return [
        *("null", "build", "--reference", str(folder / "model"), "--out", str(folder / out)),
        *("--n", "8", "--corpus", f"text:{folder / 'text.txt'}", "--contexts", "4"),
        *("--length", "24", "--steps", "1,2", "--words", "16"),
        *("--no-default-corpora", "--json", *more),
    ]


def environment(folder, **more):
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    # The number of threads may change the last bit of a sum.
    fixed = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **fixed, "TILTLM_CACHE": str(folder / "cache"), **more}


def started(folder, commands, timeout=400, **more):
    """Exit status, standard output and standard error of Python processes, all started at once."""
    running = [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment(folder, **more) | ranked,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for ranked, command in numbered(commands)
    ]
    try:
        said = [process.communicate(timeout=timeout) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(p.returncode, *both) for p, both in zip(running, said, strict=True)]


def numbered(commands):
    """Commands with what a launcher tells them; one alone is told nothing."""
    if len(commands) == 1:
        return [({}, commands[0])]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(len(commands)), "LOCAL_WORLD_SIZE": str(len(commands))}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        ({**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, command)
        for rank, command in enumerate(commands)
    ]


def assert_same_pack(folder, name):
    """All files have the same bytes as those that one process made."""
    files = sorted(path.name for path in (folder / "one").iterdir())
    assert sorted(path.name for path in (folder / name).iterdir()) == files
    for file in files:
        assert (folder / name / file).read_bytes() == (folder / "one" / file).read_bytes(), file


@pytest.mark.slow
def test_accelerate_launch_gives_the_same_pack_to_the_bit_and_one_record(folder):
    command = [*ACCELERATE, "-m", "tiltlm", *null(folder, "two")]
    ((status, out, err),) = started(folder, [command])
    assert status == 0, err
    assert json.loads(out)["models"] == 8
    assert err.count("benign changes 8/8") == 1
    assert_same_pack(folder, "two")


@pytest.mark.slow
def test_an_error_that_all_meet_with_is_told_once(folder):
    command = ["-m", "tiltlm", *null(folder, "none", "--steps", "0")]
    said = started(folder, [command, command])
    assert [status for status, _, _ in said] == [2, 2]
    assert said[0][2].startswith("ConfigError: steps [0]")
    assert said[1][1:] == ("", "")
    assert not (folder / "none").exists()


@pytest.mark.slow
def test_a_command_for_one_process_says_so_once_when_two_are_launched(folder):
    command = ["-m", "tiltlm", "tokens", str(folder / "model"), "contains('o')"]
    said = started(folder, [command, command])
    assert [(status, out) for status, out, _ in said] == [(2, ""), (2, "")]
    assert said[0][2].startswith("ConfigError: tiltlm tokens is work for one process, and 2")
    assert said[1][2] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        ("refused", 2, "StorageError: no room here"),
        ("killed", -9, "RunError: process 1 of 2 has ended without a word"),
    ],
)
def test_when_one_fails_the_other_says_so_and_a_resumed_build_gives_the_same(
    folder, fault, status, message
):
    command = ["-m", "tests.commands.launched_script", fault, *null(folder, fault)]
    said = started(folder, [command, command])
    assert [one[0] for one in said] == [2, status], said
    assert said[0][2].count(message) == 1
    assert said[0][1] == ""
    assert said[1][1:] == ("", "")
    kept = list((folder / fault / "members").glob("*.safetensors"))
    assert 1 <= len(kept) < 8
    command = ["-m", "tiltlm", *null(folder, fault, "--resume")]
    ((again, _, err),) = started(folder, [command])
    assert again == 0, err
    assert_same_pack(folder, fault)


@pytest.mark.slow
def test_a_launcher_that_ends_all_with_one_leaves_a_build_that_it_can_resume(folder):
    # Without -- torchrun takes our --n for one of its own options.
    script = [*TORCHRUN, "--", str(ROOT / "tests/commands/launched_script.py")]
    out = null(folder, "ended")
    ((status, _, err),) = started(folder, [[*script, "killed", *out]])
    assert status != 0
    assert err.count("InterruptedRun: ") == 1
    assert (folder / "ended/members").is_dir()
    ((status, _, err),) = started(folder, [[*script, "none", *out, "--resume"]])
    assert status == 0, err
    assert_same_pack(folder, "ended")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "place", ["waits at its options", "waits for the model", "waits at a member"]
)
def test_an_interrupt_of_the_launcher_ends_all_with_one_message(folder, tmp_path, place, number):
    name = f"{place} {number}"
    script = [*TORCHRUN, "--", str(ROOT / "tests/commands/launched_script.py"), place]
    launcher = subprocess.Popen(
        [sys.executable, *script, *null(folder, name)],
        env=environment(folder, WAITING=str(tmp_path)),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 200
        # The second waits for the first before it loads the model too.
        come = {"0"} if place == "waits for the model" else {"0", "1"}
        while {path.name for path in tmp_path.iterdir()} != come:
            assert launcher.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        launcher.send_signal(number)
        # Workers that would not end are killed after 30 s, so none outlives this.
        _, err = launcher.communicate(timeout=25)
    finally:
        launcher.kill()
    assert launcher.returncode != 0
    assert err.count("InterruptedRun: ") == 1, err
    assert "tiltlm/" not in err, err  # no traceback of ours
    # Nobody has a claim any more, and what was not begun is not there.
    left = {path.name for path in folder.iterdir() if name in path.name}
    assert left == ({name} if place == "waits at a member" else set())


@pytest.mark.slow
def test_values_of_a_sweep_are_shared_out_and_every_process_saves_its_weights(folder, tmp_path):
    recipe = tmp_path / "sweep.yaml"
    recipe.write_text(
        f"model: {folder / 'model'}\ntarget: tilt(contains('o'), {{s}})\nby: train\n"
        "contexts: random\ntraining: {steps: 2, parameters: full}\n"
    )
    swept = ["sweep", str(recipe), "--over", "s=0.5,2", "--json"]
    ((status, out, err),) = started(
        folder, [[*TORCHRUN, "-m", "tiltlm", *swept, "--out", str(tmp_path / "two")]]
    )
    assert status == 0, err
    both = json.loads(out)
    ((status, out, err),) = started(
        folder, [["-m", "tiltlm", *swept, "--out", str(tmp_path / "one")]]
    )
    assert status == 0, err
    alone = json.loads(out)
    for first, second in zip(alone["points"], both["points"], strict=True):
        assert first["gap_closed"] == second["gap_closed"]
        assert first["measure"]["effects"] == second["measure"]["effects"]
    weights = [
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.safetens*")
    ]
    assert len(weights) == 2
    for path in weights:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
