"""Caches that are damaged or cannot be written: rebuilt or gone without, with a note."""

import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_loaded
from tiltlm.contexts.cache import cached
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models import gguf
from tiltlm.models.cache import cache_folder
from tiltlm.seals import SEAL


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made():
    return TokenContexts([[1, 2, 3], [4]], "by hand", weights=[[0.0, 1.0, 0.5], [1.0]])


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def change_the_kind(path):
    save_file(load_file(path), path, metadata={"kind": "another", "sha256": "0"})


def make_it_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "a flipped bit": flip_a_byte,
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "nothing": lambda path: path.write_bytes(b""),
    "a pickle": lambda path: torch.save({}, path),
    "another kind": change_the_kind,
    "no checksum": lambda path: save_file(load_file(path), path, metadata={"kind": "by hand"}),
    "no metadata": lambda path: save_file(load_file(path), path),
    "other tensors": lambda path: save_file({"x": torch.ones(1)}, path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_made_anew_with_a_note(cache, damage):
    cached("key", ["a"], made)
    (path,) = cache.rglob("*.safetensors")
    damage(path)
    with pytest.warns(UserWarning, match="is damaged .* it is made anew"):
        again = cached("key", ["a"], made)
    assert again.kind == "by hand"
    found = cached("key", ["a"], lambda: pytest.fail("made a third time"))
    assert [ids.tolist() for ids in found.sequences] == [[1, 2, 3], [4]]


def test_an_entry_whose_place_is_taken_is_gone_without_with_a_note(cache):
    cached("key", ["a"], made)
    (path,) = cache.rglob("*.safetensors")
    make_it_a_folder(path)
    (path / "mine").write_text("x")
    with pytest.warns(UserWarning, match="is done without"):
        assert cached("key", ["a"], made).kind == "by hand"
    assert [p.name for p in path.iterdir()] == ["mine"]


@pytest.mark.parametrize("place", ["file", "file/in/it", "nowhere", "/proc/cache", "n" * 300])
def test_a_cache_that_cannot_be_is_gone_without_with_a_note(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / place))
    for _ in range(2):
        with pytest.warns(UserWarning, match="is done without"):
            assert cached("key", ["a"], made).kind == "by hand"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_user_without_a_home_has_a_cache_for_one_process(monkeypatch):
    for name in ("TILTLM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("tiltlm.models.cache.Path.home", nobody)
    assert cache_folder().is_dir()
    assert cache_folder() == cache_folder()


@pytest.fixture
def conversions(tmp_path, monkeypatch):
    """A GGUF file whose reading is a tiny model, and the list of its readings."""
    readings = []

    def read(file):
        readings.append(file)
        return tiny_loaded()

    monkeypatch.setattr(gguf, "_read", read)
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    return readings


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", SEAL])
def test_a_damaged_conversion_is_made_anew_with_a_note(cache, tmp_path, conversions, name):
    folder = gguf.converted(tmp_path / "tiny.gguf")
    weights = (folder / "model.safetensors").read_bytes()
    assert gguf.converted(tmp_path / "tiny.gguf") == folder
    assert len(conversions) == 1
    path = folder / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="is made anew"):
        assert gguf.converted(tmp_path / "tiny.gguf") == folder
    assert len(conversions) == 2
    assert (folder / "model.safetensors").read_bytes() == weights
    gguf.converted(tmp_path / "tiny.gguf")
    assert len(conversions) == 2


def test_a_conversion_that_cannot_be_kept_serves_its_process(tmp_path, monkeypatch, conversions):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "tiny.gguf"))
    with pytest.warns(UserWarning, match="is done without"):
        folder = gguf.converted(tmp_path / "tiny.gguf")
    assert (folder / "model.safetensors").is_file()
    with pytest.warns(UserWarning, match="is done without"):
        assert gguf.converted(tmp_path / "tiny.gguf") == folder
    assert len(conversions) == 1


def test_what_a_killed_conversion_left_is_removed(cache, tmp_path, conversions):
    folder = gguf.converted(tmp_path / "tiny.gguf")
    left = folder.with_name(f"{folder.name}.partial-0123abcd")
    folder.rename(left)
    gguf.converted(tmp_path / "tiny.gguf")
    assert os.listdir(cache) == [folder.name]
