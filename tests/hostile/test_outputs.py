"""Output folders: of one process at a time, where their links lead, whole or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.hostile.writers import RESUMED, WRITERS
from tiltlm import files
from tiltlm.claims import claimed, claimed_new
from tiltlm.errors import RunError, StorageError
from tiltlm.files import STAGING, remove_leftovers, staged, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_of_two_processes_with_one_out_the_second_is_told_at_once(
    writer, tiltlm_command, tmp_path, name
):
    out = tmp_path / "out"
    command = writer(name)
    before = names(tmp_path)
    with claimed(out):
        code, printed, told = tiltlm_command(*command, "--out", out)
    assert code == 2
    assert "another process is at work" in told
    assert told.count("Error") == 1
    assert printed == ""
    assert names(tmp_path) == before


LONG = "n" * 240
UNUSABLE = {
    "too long": "{tmp}/" + "n" * 300,
    "no room for its temporary name": f"{{tmp}}/{LONG}",
    "a path that is too long": "{tmp}/" + "nnn/" * 1500,
    "a link that leads nowhere": "{tmp}/nowhere",
    "inside a link that leads nowhere": "{tmp}/nowhere/out",
    "a link to itself": "{tmp}/itself",
    "a file": "{tmp}/file",
    "a file as parent": "{tmp}/file/out",
    "a file further up": "{tmp}/file/a/out",
    "may not be written": "/sys/out",
    "cannot be made": "/proc/out",
    "the root": "/",
    "no text": "{tmp}/\udcff",
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("out", UNUSABLE.values(), ids=UNUSABLE)
def test_an_out_that_cannot_be_is_one_error(writer, tiltlm_command, tmp_path, name, out):
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "file").write_text("mine")
    command = writer(name)
    before = names(tmp_path)
    code, _, told = tiltlm_command(*command, "--out", out.replace("{tmp}", str(tmp_path)))
    assert code == 2
    assert told.startswith(("RunError: ", "StorageError: "))
    assert "fix: " in told
    assert names(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_is_followed_and_stays_one(writer, tiltlm_command, tmp_path, name):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    code, _, told = tiltlm_command(*writer(name), "--out", tmp_path / "link")
    assert code == 0, told
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / WRITERS[name][1]).is_file()
    assert not [n for n in names(tmp_path) if STAGING in n or n.endswith(".lock")]
    code, _, told = tiltlm_command(*writer(name), "--out", tmp_path / "link")
    assert code == 2
    assert "RunError" in told


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(
    writer, tiltlm_command, tmp_path, monkeypatch, name
):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    command, before = writer(name), names(tmp_path)
    monkeypatch.setattr(files.os, "fsync", full)
    code, _, told = tiltlm_command(*command, "--out", tmp_path / "new" / "out")
    assert code == 2
    assert "StorageError: the disk is full" in told
    assert "Traceback" not in told
    assert name in RESUMED or "--resume" not in told
    assert set(names(tmp_path)) <= {*before, "new", "cache"}
    assert not list(tmp_path.rglob(f"*{STAGING}*"))
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]


def test_what_is_finished_is_never_replaced_though_it_came_meanwhile(tmp_path):
    def write_while_another_does():
        with staged(tmp_path / "out") as folder:
            folder.mkdir()
            (folder / "mine").write_text("late")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").write_text("early")

    with pytest.raises(StorageError, match="not empty"):
        write_while_another_does()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["theirs"]


def test_two_that_write_one_file_at_once_leave_one_of_them_whole(tmp_path):
    path = tmp_path / "file"
    with staged(path) as first, staged(path) as second:
        assert first != second
        first.write_text("one")
        second.write_text("two")
    assert path.read_text() == "one"
    assert names(tmp_path) == ["file"]


def test_python_calls_take_the_same_claim(base, tmp_path):
    import tiltlm
    from tiltlm.labels.card import write_label
    from tiltlm.labels.label import read_label

    tilted = tiltlm.edit(tiltlm.load(base), "tilt(contains('o'), 1)", "random")
    with claimed(tmp_path / "out"), pytest.raises(RunError, match="another process"):
        tilted.save(tmp_path / "out")
    tilted.save(tmp_path / "out")
    folder = tmp_path / "out" / "model"
    with claimed(folder), pytest.raises(RunError, match="another process"):
        write_label(folder, read_label(folder))
    with pytest.raises(RunError, match="holds something"):
        tilted.save(tmp_path / "out")


def test_a_claim_leaves_nothing_behind_but_what_was_made_in_it(tmp_path):
    with claimed(tmp_path / "a" / "b" / "out") as out:
        assert names(out.parent) == [".out.lock"]
    assert names(tmp_path) == []
    with claimed(tmp_path / "a" / "b" / "out") as out:
        write_text(out / "file", "text")
    assert names(tmp_path / "a" / "b") == ["out"]


def test_a_claim_is_free_again_when_its_process_was_killed(tmp_path):
    out = tmp_path / "out"
    child = os.fork()
    if not child:
        with claimed(out), staged(out) as folder:
            folder.mkdir()
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(names(tmp_path)) == 2  # its lock, and what it had staged
    with claimed(out):
        assert names(tmp_path) == [".out.lock"]
    assert names(tmp_path) == []


def test_only_what_tiltlm_staged_is_taken_for_a_leftover(tmp_path):
    kept = ["out.partial", "out.partial-notes", "out2.partial-0123abcd", "out"]
    for name in [*kept, "out.partial-0123abcd"]:
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path / "out")
    assert names(tmp_path) == sorted(kept)


@pytest.mark.parametrize("name", ["tilt", "null"])
def test_the_umask_decides_who_may_read_what_is_written(writer, tiltlm_command, tmp_path, name):
    before = os.umask(0o027)
    try:
        code, _, told = tiltlm_command(*writer(name), "--out", tmp_path / "out")
    finally:
        os.umask(before)
    assert code == 0, told
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in found)
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o640}


def test_a_whole_folder_cannot_take_the_place_of_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="as a whole"), claimed_new(Path()):
        pass


@pytest.mark.parametrize("name", RESUMED)
def test_resuming_what_is_no_work_of_the_command_is_refused_untouched(
    writer, tiltlm_command, tmp_path, name
):
    command = writer(name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt.partial-0123abcd").write_text("years")
    code, _, told = tiltlm_command(*command, "--out", tmp_path / "out", "--resume")
    assert code == 2
    assert "RunError" in told
    assert names(tmp_path / "out") == ["thesis.txt.partial-0123abcd"]


def test_a_finished_pack_is_not_made_again(writer, tiltlm_command, tmp_path):
    command = [*writer("null"), "--out", tmp_path / "out"]
    assert tiltlm_command(*command)[0] == 0
    before = (tmp_path / "out" / "null.safetensors").stat().st_mtime_ns
    code, _, told = tiltlm_command(*command, "--resume")
    assert code == 2
    assert "this pack is finished" in told
    assert (tmp_path / "out" / "null.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("tilt", "{bad}", "--target", "tilt(contains('o'), 1)", "--out", "{tmp}/out"),
        ("measure", "{base}", "--against", "{bad}", "--target", "tilt(contains('o'), 1)"),
        ("measure", "{base}", "--against", "{base}", "--text", "{bad}"),
        ("measure", "{base}", "--against", "{base}", "--pairs", "{bad}"),
        ("audit", "{bad}", "--reference", "{base}"),
        ("audit", "{base}", "--reference", "{base}", "--null", "{bad}"),
        ("audit", "{base}", "--reference", "{base}", "--lists", "{bad}"),
        ("null", "build", "--reference", "{base}", "--triggers", "{bad}", "--out", "{tmp}/out"),
        ("run", "{bad}", "--out", "{tmp}/out"),
        ("report", "{bad}"),
        ("sample", "{bad}"),
        ("tokens", "contains('o')", "--model", "{bad}"),
        ("recipes", "show", "{bad}"),
    ],
    ids=lambda arguments: " ".join(a for a in arguments if "{" not in a)[:40],
)
@pytest.mark.parametrize("bad", [UNUSABLE["too long"], "{tmp}/itself", "{tmp}/file/out"])
def test_a_path_to_read_that_cannot_be_is_one_error(base, tiltlm_command, tmp_path, arguments, bad):
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "file").write_text("mine")
    places = {"bad": bad.replace("{tmp}", str(tmp_path)), "base": base, "tmp": tmp_path}
    code, printed, told = tiltlm_command(*(a.format(**places) for a in arguments))
    assert code == 2
    assert told.count("Error: ") == 1
    assert "Traceback" not in told
    assert printed == ""
    assert not (tmp_path / "out").exists()
