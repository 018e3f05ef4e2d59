"""Commands say what is theirs to say, and other libraries say nothing."""

import logging
import os
import re
import subprocess
import sys
import warnings

import pytest

from tests.cli.every_command import COMMANDS
from tiltlm.quiet import quiet_libraries

OURS = (
    r"[\w:;,.\- ()'+]+ \d+/\d+, \d+:\d\d:\d\d(, .+)?",  # a bar that has ended
    r"training [\w+]+: \d+% of what tells the event from other tokens lies in .+",
    r"benign changes that are missing: \d+, in about .+, as the first training went",
)
LIBRARIES = ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE", "TF_CPP_MIN_LOG_LEVEL")


def foreign(lines):
    """Lines that no command of ours writes."""
    return [line for line in lines if not any(re.fullmatch(ours, line) for ours in OURS)]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each command wrote to standard error, line by line."""
    folder = tmp_path_factory.mktemp("quiet")
    environment = {k: v for k, v in os.environ.items() if k not in LIBRARIES}
    environment |= {"TILTLM_CACHE": str(folder / "cache"), "COLUMNS": "300"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.every_command", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    before, *parts = re.split(r"^## ", done.stderr, flags=re.MULTILINE)
    lines = {"before any command": before.splitlines()}
    for part in parts:
        name, *rest = re.split(r"[\r\n]+", part.rstrip("\r\n"))
        lines[name] = rest
    return lines


@pytest.mark.parametrize("name", ["before any command", *COMMANDS])
def test_a_command_writes_nothing_but_its_own_progress(said, name):
    assert foreign(said[name]) == []


@pytest.mark.parametrize("name", ["run", "sample", "edit", "train", "measure", "null"])
def test_long_work_tells_how_far_it_is(said, name):
    assert said[name]


def test_known_remarks_are_silenced_and_no_others(caplog, monkeypatch):
    for name in LIBRARIES:
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("transformers.modeling_utils")
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_libraries()
        quiet_libraries()
        warnings.warn("`is_gradient_checkpointing` is deprecated and so on", FutureWarning, 2)
        warnings.warn("training goes through all logits, which is slower", UserWarning, 2)
    assert [str(w.message) for w in caught] == ["training goes through all logits, which is slower"]
    assert len(logger.filters) == 1
    logger.warning("We strongly recommend passing in an `attention_mask` since …")
    logger.warning("Some weights were not initialised from the checkpoint")
    logged = {record.getMessage() for record in caplog.records}
    assert logged == {"Some weights were not initialised from the checkpoint"}


def test_settings_that_the_user_made_are_left_alone(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "0")
    quiet_libraries()
    assert os.environ["TQDM_DISABLE"] == "0"


def test_bars_of_libraries_are_not_drawn():
    script = (
        "from tiltlm.quiet import quiet_libraries\n"
        "quiet_libraries()\n"
        "import tqdm.auto, huggingface_hub.utils\n"
        "from transformers.utils import logging\n"
        "for bar in (tqdm.auto.tqdm, logging.tqdm, huggingface_hub.utils.tqdm):\n"
        "    assert list(bar(range(3))) == [0, 1, 2]\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in LIBRARIES}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr == ""


@pytest.mark.slow
def test_processes_of_a_sweep_are_as_quiet(tmp_path):
    from tests.tiny import tiny_loaded

    loaded = tiny_loaded("gpt2")
    loaded.model.save_pretrained(tmp_path / "gpt2")
    loaded.tokenizer.save_pretrained(tmp_path / "gpt2")
    arguments = ["sweep", "gpt2", "--over", "strength=0.5,1", "--jobs", "2", "--out", "out"]
    target = ["--target", "tilt(contains('o'), {strength})", "--contexts", "random"]
    environment = {k: v for k, v in os.environ.items() if k not in LIBRARIES}
    done = subprocess.run(
        [sys.executable, "-m", "tiltlm", *arguments, *target],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment | {"TILTLM_CACHE": str(tmp_path / "cache")},
    )
    assert foreign(done.stderr.splitlines()) == []
