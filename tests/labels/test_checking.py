"""Whatever was changed of a labelled folder is reported for what it is."""

import json
import shutil

import pytest

from tests.labels.labelled import LABEL, chained, labelled_folder
from tests.labels.test_chain import SIX
from tiltlm.errors import ConfigError
from tiltlm.files import write_json
from tiltlm.labels.chain import label_digest
from tiltlm.labels.checking import label_faults
from tiltlm.labels.label import FILE


@pytest.fixture
def folder(tmp_path):
    return labelled_folder(tmp_path / "model", chained(*SIX))


def kinds(folder):
    return [(fault.kind, fault.where) for fault in label_faults(folder)]


def said(folder):
    """The first that is said of a folder; "damaged" where its label cannot be read at all."""
    try:
        return label_faults(folder)[0].kind
    except ConfigError as error:
        return "damaged" if "the label is" in error.what else error.what


def resealed(folder, change):
    """Change a label's data and make its digest anew, as somebody careful would."""
    data = json.loads((folder / FILE).read_text())
    change(data)
    write_json(folder / FILE, data | {"digest": label_digest(data)})


def test_a_folder_that_nobody_touched_is_whole(folder):
    assert kinds(folder) == []


@pytest.mark.parametrize("byte", range(0, 900, 7))
def test_a_bit_flipped_anywhere_in_a_weight_file_is_a_changed_file(folder, byte):
    file = folder / "one.safetensors"
    content = bytearray(file.read_bytes())
    content[byte % len(content)] ^= 1 << (byte % 8)
    file.write_bytes(content)
    assert kinds(folder) == [("changed file", "one.safetensors")]


def test_any_character_of_the_label_that_is_another_is_an_edited_label(folder):
    text = (folder / FILE).read_text()
    told = 0
    for place in range(0, len(text), 41):
        other = "7" if text[place] != "7" else "8"
        (folder / FILE).write_text(text[:place] + other + text[place + 1 :])
        assert said(folder) in ("edited label", "damaged"), text[place - 20 : place + 20]
        told += 1
    assert told > 50


def test_a_space_in_the_label_is_an_edited_label(folder):
    (folder / FILE).write_text((folder / FILE).read_text().replace('{\n  "', '{\n   "', 1))
    assert kinds(folder) == [("edited label", FILE)]


def test_a_label_of_another_model_is_told_by_the_weights(folder, tmp_path):
    other = LABEL.model_copy(update={"target": "tilt(contains('a'), 1)"})
    labelled_folder(tmp_path / "other", chained("tilt", label=other), seed=1)
    shutil.copy(tmp_path / "other" / FILE, folder / FILE)
    assert kinds(folder) == [("another model", FILE)]


def test_a_label_put_beside_weights_that_have_none_is_that_of_another_model(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in folder.glob("*.safetensors"):
        save_file(load_file(file), file, {"format": "pt"})
    assert kinds(folder) == [("another model", FILE)]


def test_a_file_that_is_not_there_is_missing(folder):
    (folder / "two.safetensors").unlink()
    assert kinds(folder) == [("missing file", "two.safetensors")]


def test_weights_that_the_label_does_not_name_are_told(folder):
    shutil.copy(folder / "one.safetensors", folder / "three.safetensors")
    assert kinds(folder) == [("unlisted weights", "three.safetensors")]


def test_a_config_that_was_changed_is_a_changed_file_and_a_note_beside_it_is_none(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").write_text("mine too")
    assert kinds(folder) == []
    (folder / "config.json").write_text('{"logit_scale": 2}\n')
    assert kinds(folder) == [("changed file", "config.json")]


@pytest.mark.parametrize("gone", range(5))
def test_a_step_taken_out_of_the_chain_is_a_missing_link(folder, gone):
    resealed(folder, lambda data: data["chain"].pop(gone))
    assert kinds(folder) == [("missing link", f"step {gone + 2}")]


def test_steps_renumbered_after_one_was_taken_out_still_lack_it(folder):
    def take_out(data):
        data["chain"].pop(2)
        for number, step in enumerate(data["chain"], 1):
            step["number"] = number

    resealed(folder, take_out)
    assert ("missing link", "step 3") in kinds(folder)


def test_an_earlier_step_that_says_something_else_is_a_missing_link(folder):
    resealed(folder, lambda data: data["chain"][1].update(sentence="nothing"))
    assert kinds(folder) == [("missing link", "step 3")]


def test_a_last_step_rewritten_with_all_its_hashes_is_told_by_the_weights(folder):
    def rewrite(data):
        data["chain"][-1]["sentence"] = "nothing"

    resealed(folder, rewrite)
    assert kinds(folder) == [("another model", FILE)]


def test_a_label_of_an_older_version_has_no_hashes_to_go_by(folder):
    data = json.loads((folder / FILE).read_text())
    old = {k: v for k, v in data.items() if k not in ("chain", "digest", "undone")}
    write_json(folder / FILE, old | {"schema_version": 2})
    assert kinds(folder) == [("no hashes", FILE)]


def test_a_folder_without_a_label_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no label here"):
        label_faults(tmp_path)
