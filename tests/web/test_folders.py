import os

import pytest

from tiltlm.errors import ConfigError
from tiltlm.web.folders import Folders


@pytest.fixture
def folders(tmp_path):
    for name in ("runs/base", "runs/x/model", "other/secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/base/config.json").write_text("{}")
    (tmp_path / "runs/x/result.json").write_text("{}")
    (tmp_path / "runs/x/model/tilt.json").write_text("{}")
    (tmp_path / "runs/x/model/config.json").write_text("{}")
    (tmp_path / "other/secret/config.json").write_text("{}")
    return Folders([tmp_path / "runs"])


@pytest.mark.parametrize(
    "name", ["{top}/other/secret", "{top}/runs/../other/secret", "/etc", "~", "..", "{top}"]
)
def test_a_path_out_of_the_folders_is_refused_in_a_sentence(folders, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path / "runs")
    with pytest.raises(ConfigError, match="outside the folders"):
        folders.checked(name.format(top=tmp_path))


def test_a_link_out_of_the_folders_is_refused_and_not_listed(folders, tmp_path):
    os.symlink(tmp_path / "other" / "secret", tmp_path / "runs" / "link")
    with pytest.raises(ConfigError, match="outside the folders"):
        folders.checked(str(tmp_path / "runs" / "link"))
    assert [os.path.basename(path) for path in folders.bases()] == ["base"]


def test_names_stay_names_and_paths_inside_are_found(folders, tmp_path):
    assert folders.checked("smollm2") == "smollm2"
    assert folders.checked("org/name") == "org/name"
    assert folders.checked("x") == str(tmp_path / "runs" / "x")
    assert folders.checked(f"{tmp_path}/runs/base") == str(tmp_path / "runs" / "base")


def test_models_are_listed_apart_from_what_was_tilted(folders, tmp_path):
    assert folders.bases() == [str(tmp_path / "runs" / "base")]
    assert folders.tilted() == [str(tmp_path / "runs" / "x")]


def test_a_new_folder_lies_in_the_first_and_is_new(folders, tmp_path):
    first = folders.free("tilt")
    assert first == tmp_path / "runs" / "ui" / "tilt-1"
    first.mkdir(parents=True)
    assert folders.free("tilt").name == "tilt-2"


def test_folders_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        Folders([tmp_path / "none"])
    with pytest.raises(ConfigError, match="no folder was given"):
        Folders([])
