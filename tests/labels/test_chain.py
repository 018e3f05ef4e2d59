"""A label says all that was done to a model, and each step holds on to the one before."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.labels.labelled import LABEL, chained, labelled_folder
from tiltlm.labels.card import write_label
from tiltlm.labels.chain import step_digest, step_name, with_measured, with_step
from tiltlm.labels.label import FILE, read_label
from tiltlm.labels.short_form import KEY, read_short_form
from tiltlm.labels.step import LabelFigure, Step

SIX = ("tilt", "merge", "tilt", "merge", "undo", "export")


def test_six_operations_are_six_steps_that_hold_on_to_each_other(tmp_path):
    label = read_label(labelled_folder(tmp_path / "model", chained(*SIX)))
    assert [step.operation for step in label.chain] == list(SIX)
    assert [step.number for step in label.chain] == [1, 2, 3, 4, 5, 6]
    assert label.chain[0].parent is None
    for before, after in zip(label.chain, label.chain[1:], strict=False):
        assert after.parent == step_digest(before.model_dump(mode="json"))


def test_a_step_changes_what_it_says_of_the_label_and_leaves_the_old_one():
    label = chained("tilt")
    after = with_step(label, Step(operation="undo", sentence="back", versions={}), undone=True)
    assert (label.undone, len(label.chain)) == (False, 1)
    assert (after.undone, len(after.chain)) == (True, 2)


def test_every_weight_file_says_in_its_header_what_it_is_part_of_and_keeps_its_tensors(tmp_path):
    torch.manual_seed(0)
    tensors = {"a": torch.randn(3, 5), "b": torch.arange(7), "empty": torch.zeros(0, 2)}
    save_file(tensors, tmp_path / "one.safetensors", {"format": "pt", "mine": "kept"})
    label = write_label(tmp_path, chained("tilt", "merge"))
    read = load_file(tmp_path / "one.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["mine"]) == ("pt", "kept")
    form = json.loads(metadata[KEY])
    assert form["target"] == LABEL.target
    assert form["base_sha256"] == LABEL.base.sha256
    assert form["step"] == step_name(label.chain[-1])
    assert read_short_form(tmp_path / "one.safetensors").steps == 2


def test_writing_a_label_again_changes_no_weight_file(tmp_path):
    folder = labelled_folder(tmp_path / "model", chained("tilt"))
    before = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    figures = {"hit rate": LabelFigure(value=0.5, interval=None, unit="", over="8")}
    written = write_label(folder, with_measured(read_label(folder), figures))
    assert {path.name: path.read_bytes() for path in folder.glob("*.safetensors")} == before
    assert written.chain[-1].measured == written.measured == figures
    assert read_label(folder) == written


def test_a_label_of_an_older_version_is_read_with_a_step_for_all_that_it_knew(tmp_path):
    old = LABEL.model_dump(mode="json") | {"schema_version": 2}
    for key in ("chain", "digest", "undone"):
        del old[key]
    del old["base"]["license"]
    (tmp_path / FILE).write_text(json.dumps(old | {"history": [old | {"seed": 1}]}))
    label = read_label(tmp_path)
    assert (label.target, label.base.sha256) == (LABEL.target, LABEL.base.sha256)
    assert [(step.operation, step.seed) for step in label.chain] == [("tilt", 1), ("tilt", 7)]
    assert label.chain[1].measured == LABEL.measured
