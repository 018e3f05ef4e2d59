"""Thousands of folders that mean harm: each is opened, or is one error, in little time."""

import subprocess
import sys

import pytest

from tests.hostile.folders import MUTATIONS, hostile_folder, make_originals, open_hostile

QUICK, MANY = 6, 300
"""Folders of each mutation: by every run of the tests, and by the long one."""

KINDS = [(kind, mutation) for kind, by_name in MUTATIONS.items() for mutation in by_name]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    make_originals(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", MUTATIONS)
def test_the_folders_are_opened_as_long_as_nobody_changes_them(originals, kind):
    name = originals / kind / "x.gguf" if kind == "gguf" else originals / kind
    if kind == "decoded":
        return  # It has no weights, and so is nothing to load.
    assert open_hostile(str(name)) == "used"


def open_many(originals, folder, kind, mutation, seeds):
    names = (hostile_folder(originals, folder, kind, mutation, seed) for seed in seeds)
    said = [open_hostile(name, originals / "base") for name in names]
    # A mutation that nothing minds, or that everything dies of, is no test.
    assert len(said) < 100 or len(set(said)) > 3
    return said


@pytest.mark.parametrize(("kind", "mutation"), KINDS)
def test_a_hostile_folder_is_opened_or_is_one_error(originals, tmp_path, kind, mutation):
    open_many(originals, tmp_path / "hostile", kind, mutation, range(QUICK))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mutation"), KINDS)
def test_thousands_of_hostile_folders_are_each_one_error(originals, tmp_path, kind, mutation):
    open_many(originals, tmp_path / "hostile", kind, mutation, range(1_000, 1_000 + MANY))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mutation"), KINDS)
def test_on_the_command_line_it_is_one_message_and_no_traceback(
    originals, tmp_path, kind, mutation
):
    for seed in range(2):
        name = hostile_folder(originals, tmp_path / "hostile", kind, mutation, seed)
        command = [sys.executable, "-m", "tiltlm", "sample", name, "--new-tokens", "2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback (most recent call last)" not in done.stderr


@pytest.mark.slow
def test_a_tokenizer_that_panics_at_a_text_is_one_message(originals, tmp_path):
    import json
    import shutil

    shutil.copytree(originals / "base", tmp_path / "m")
    file = tmp_path / "m" / "tokenizer.json"
    data = json.loads(file.read_text())
    data["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
    file.write_text(json.dumps(data))
    command = [sys.executable, "-m", "tiltlm", "sample", str(tmp_path / "m"), "--new-tokens", "2"]
    command += ["--prompt", "a" * 60 + "!"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "the tokenizer cannot read a text" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr
