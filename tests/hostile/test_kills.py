"""Interrupts and kills: what is said, what is kept, and that going on gives the same results.

The slow tests start each command in a process of its own, forked from one that has imported
everything, and kill it at a random time until it is finished.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import cache

import psutil
import pytest
from safetensors.torch import load_file

from tests import forked
from tests.hostile.writers import RESUMED, WRITERS, arguments, measure_little
from tests.tiny import TEXT, tiny_loaded, tiny_perturbed
from tiltlm.cli.bars import Bars
from tiltlm.report.run_page import write_report

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
PARTS = {"sweep": "values", "null": "benign changes", "run": "training"}
"""Where the commands that can be resumed are interrupted: when an item of this part is done."""


def interrupt(monkeypatch, number, part):
    """Send a signal when an item of a part is done; without one, when the first part begins."""
    begin, advance, now = Bars.begin, Bars.advance, []

    def begins(self, title, total):
        begin(self, title, total)
        now[:] = [title]
        if part is None:
            os.kill(os.getpid(), number)

    def advances(self, done, note=""):
        advance(self, done, note)
        if now == [part] and done == 1:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Bars, "begin", begins)
    monkeypatch.setattr(Bars, "advance", advances)


@pytest.mark.parametrize("number", SIGNALS, ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", sorted(set(WRITERS) - set(RESUMED)))
def test_a_command_that_is_interrupted_says_so_and_leaves_nothing(
    writer, tiltlm_command, tmp_path, monkeypatch, name, number
):
    command = writer(name)
    before = {*os.listdir(tmp_path), "cache"}
    interrupt(monkeypatch, number, None)
    code, printed, told = tiltlm_command(*command, "--out", tmp_path / "out")
    assert code == SIGNALS[number]
    assert told.count("InterruptedRun: interrupted before it was finished") == 1
    assert "fix: run the same again" in told
    assert "--resume" not in told
    assert "Traceback" not in told
    assert printed == ""
    assert set(os.listdir(tmp_path)) <= before


@pytest.mark.parametrize("number", SIGNALS, ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", RESUMED)
def test_a_command_that_is_interrupted_says_what_is_kept_and_goes_on_as_it_says(
    writer, tiltlm_command, tmp_path, monkeypatch, name, number
):
    out = tmp_path / "out"
    command = [*writer(name), "--out", out]
    with monkeypatch.context() as interrupted:
        interrupt(interrupted, number, PARTS[name])
        code, _, told = tiltlm_command(*command)
    assert code == SIGNALS[number]
    # A run finishes the step that it is in.
    kept = {"sweep": "1 of 2 values", "null": "1 of 3 benign changes", "run": "up to step 2"}[name]
    assert told.count("InterruptedRun: interrupted; ") == 1
    assert kept in told
    assert "--resume" in told
    assert "Traceback" not in told
    assert not (out / WRITERS[name][1]).exists()
    code, _, told = tiltlm_command(*command, "--resume")
    assert code == 0, told
    assert (out / WRITERS[name][1]).is_file()


@pytest.mark.parametrize("number", SIGNALS, ids=["SIGINT", "SIGTERM"])
def test_drawing_tokens_is_interrupted_with_a_word_too(base, tiltlm_command, monkeypatch, number):
    interrupt(monkeypatch, number, None)
    code, printed, told = tiltlm_command("sample", base)
    assert code == SIGNALS[number]
    assert "InterruptedRun" in told
    assert printed == ""


@pytest.mark.parametrize(("batch", "judged"), [(1, False), (3, True)])
def test_an_audit_judges_what_it_has_read_and_the_exit_code_says_that_it_is_partial(
    base, tiltlm_command, tmp_path, monkeypatch, batch, judged
):
    from tiltlm.auditing.text import suspects

    write, calls = suspects.LocalTextSuspect.write, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == batch:
            os.kill(os.getpid(), signal.SIGINT)
        return write(self, *arguments)

    monkeypatch.setattr(suspects.LocalTextSuspect, "write", interrupted)
    audit = ("audit", base, "--reference", base, "--access", "text", "--event", "contains('o')")
    code, printed, told = tiltlm_command(*audit, "--out", tmp_path / "out")
    assert code == 130
    assert told.count("InterruptedRun") == 1
    assert ("partial" in printed) is judged
    assert ("less than was asked for" in told) is judged
    assert (tmp_path / "out" / "result.json").is_file() is judged


def test_a_signal_that_is_to_be_ignored_is(base, tiltlm_command, monkeypatch):
    interrupt(monkeypatch, signal.SIGTERM, None)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        code, printed, _ = tiltlm_command("sample", base, "--new-tokens", 2)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 0
    assert printed


# Each command in a process of its own.


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with what the commands read."""
    folder = tmp_path_factory.mktemp("models")
    for name, loaded in (("base", tiny_loaded()), ("other", tiny_perturbed())):
        loaded.model.save_pretrained(folder / name)
        loaded.tokenizer.save_pretrained(folder / name)
    (folder / "text.txt").write_text(TEXT * 20)
    return folder


def started(name, models, folder, *more):
    """A process that carries out a command, with a cache of its own beside its output."""
    command = [*arguments(name, models), "--out", str(folder / "out"), *more]
    return forked.started(
        command, folder / "log", prepare=measure_little, TILTLM_CACHE=str(folder / "cache")
    )


def finished(name, folder):
    return (folder / "out" / WRITERS[name][1]).is_file()


def resume(name, folder):
    """The option that goes on with what a killed command left, where there is any."""
    out = folder / "out"
    begun = out.is_dir() and any(not p.name.startswith("recipe.yaml.") for p in out.iterdir())
    return ("--resume",) if name in RESUMED and begun else ()


INCIDENTAL = {"seconds", "sittings", "versions", "pack", "model", "threads"}
"""Keys of records whose values are of the process, its time, or of the folder's name."""


def without_incidentals(data):
    if isinstance(data, dict):
        return {k: without_incidentals(v) for k, v in data.items() if k not in INCIDENTAL}
    if isinstance(data, str):
        # How long a pack would take is told by what the machine does just then.
        return re.sub(r"roughly .* here", "roughly", data)
    return [without_incidentals(item) for item in data] if isinstance(data, list) else data


def results(folder):
    """Every value in the files that a command left, by file; pages are made of the records."""
    found = {}
    for path in sorted((folder / "out").rglob("*")):
        name = str(path.relative_to(folder / "out"))
        if path.suffix == ".json":
            found[name] = without_incidentals(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            found[name] = [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".safetensors":
            found[name] = {key: t.tolist() for key, t in load_file(path).items()}
        elif path.is_file() and "tensorboard" not in path.parts:
            found[name] = None
    return found


def strays(folder):
    """What should not be there when a command is finished."""
    known = {"out", "cache", "log"}
    inside = [p for p in folder.rglob("*") if ".partial" in p.name or p.name.endswith(".lock")]
    return inside + [p for p in folder.iterdir() if p.name not in known]


@pytest.fixture(scope="module")
def unkilled(models, tmp_path_factory):
    """How long a command takes alone, in seconds, and its results; by its name."""

    @cache
    def alone(name):
        # The first one waits for what the others are forked from.
        for _ in range(2):
            folder = tmp_path_factory.mktemp(name)
            began = time.monotonic()
            process = started(name, models, folder)
            process.join()
            assert process.exitcode == 0, (folder / "log").read_text()
        return time.monotonic() - began, results(folder)

    return alone


KILLS = 102
"""Over all commands, as many of each."""


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_killed_at_any_time_and_begun_again_a_command_ends_with_the_same_results(
    models, unkilled, tmp_path, name
):
    seconds, expected = unkilled(name)
    draw = random.Random(f"kills of {name}")
    killed = rounds = 0
    while killed < KILLS // len(WRITERS):
        folder = tmp_path / str(rounds)
        folder.mkdir()
        rounds += 1
        # Kills fall anywhere in a command; one that was begun three times is let finish.
        for attempt in range(4):
            process = started(name, models, folder, *resume(name, folder))
            process.join(draw.uniform(0, seconds) if attempt < 3 else None)
            if process.exitcode is None:
                process.kill()
                killed += 1
            process.join()
            if finished(name, folder):
                break
            assert process.exitcode == -signal.SIGKILL, (folder / "log").read_text()
        if process.exitcode and name in RESUMED:
            # Killed in its last instants: whoever asks it to go on hears that it is finished.
            process = started(name, models, folder, "--resume")
            process.join()
        if name == "run" and not (folder / "out" / "report.html").is_file():
            write_report(folder / "out")
        assert results(folder) == expected
        assert not strays(folder)
    print(f"{name}: {killed} kills in {rounds} rounds, {seconds:.1f} s alone")


PAIRS = 5


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_of_two_at_once_one_finishes_and_the_other_is_told(models, unkilled, tmp_path, name):
    seconds, expected = unkilled(name)
    draw = random.Random(f"pairs of {name}")
    for pair in range(PAIRS):
        folder = tmp_path / str(pair)
        folder.mkdir()
        first = started(name, models, folder)
        time.sleep(draw.choice([0, 0.01, draw.uniform(0, seconds)]))
        second = started(name, models, folder)
        first.join()
        second.join()
        log = (folder / "log").read_text()
        assert sorted([first.exitcode, second.exitcode]) == [0, 2], log
        assert log.count("RunError") == 1
        assert "Traceback" not in log
        assert results(folder) == expected
        assert not strays(folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_processes_that_work_for_a_sweep_end_when_it_does(models, tmp_path, number):
    command = [sys.executable, "-m", "tiltlm", *arguments("sweep", models), "--jobs", "2"]
    sweep = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TILTLM_CACHE": str(tmp_path / "cache"), "COLUMNS": "300"},
    )
    process = psutil.Process(sweep.pid)
    while sweep.poll() is None and not list((tmp_path / "out").glob("points/*")):
        time.sleep(0.05)  # until a worker has begun
    workers = process.children(recursive=True)
    assert len(workers) >= 2
    sweep.send_signal(number)
    _, told = sweep.communicate(timeout=120)
    assert sweep.returncode == SIGNALS.get(number, -number)
    assert "Traceback" not in told
    assert (number == signal.SIGKILL) or "values are finished and kept" in told
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
