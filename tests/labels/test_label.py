"""A label says the same when it is read back, and a damaged one is never half believed."""

import json

import pytest

from tiltlm.errors import ConfigError
from tiltlm.labels.card import render_card, write_label
from tiltlm.labels.label import FILE, Label, find_label, read_label
from tiltlm.labels.step import LabelBase, LabelFigure

LABEL = Label(
    target="match(contains('o'), 0.3)",
    sentence="3 of 10 tokens contain 'o'",
    events=["contains('o')"],
    strengths=[1.25],
    by="edit",
    form="adapter",
    base=LabelBase(name="model5", sha256="ab" * 32, seed=3, config={"n_layer": 2}),
    contexts="own samples",
    seed=7,
    measured={
        "gap closed": LabelFigure(value=0.9, interval=(0.8, 0.95), unit="", over="8 contexts"),
        "leakage": LabelFigure(value=0.0, interval=None, unit="nats a token", over="8 contexts"),
    },
    versions={"tiltlm": "0.1.0"},
)


def test_a_label_read_back_equals_the_one_written(tmp_path):
    written = write_label(tmp_path, LABEL)
    assert read_label(tmp_path) == written
    assert written.model_copy(update={"digest": None}) == LABEL


def test_a_label_is_found_in_the_folder_and_in_the_model_inside_it(tmp_path):
    (tmp_path / "model").mkdir()
    written = write_label(tmp_path / "model", LABEL)
    assert find_label(str(tmp_path)) == (str(tmp_path / "model"), written)
    assert find_label(str(tmp_path / "model")) == (str(tmp_path / "model"), written)
    assert find_label("org/name") == ("org/name", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data | {"mood": "good"}, "damaged: mood: "),
        (lambda data: data | {"seed": "many"}, "damaged: seed: "),
        (lambda data: {k: v for k, v in data.items() if k != "target"}, "damaged: target: "),
        (lambda data: data | {"base": {"name": "x", "rank": 1}}, r"damaged: base\.\w+: "),
        (lambda data: data | {"schema_version": 1}, r"another version of tiltlm \(schema 1\)"),
        (lambda data: data | {"schema_version": 4, "mood": 1}, r"another version .* \(schema 4\)"),
        (lambda data: [data], "damaged: Input should be"),
        (lambda data: None, "damaged: Input should be"),
    ],
)
def test_json_that_is_no_label_of_this_version_is_one_config_error(tmp_path, change, message):
    data = change(LABEL.model_dump(mode="json"))
    (tmp_path / FILE).write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=message) as caught:
        read_label(tmp_path)
    assert caught.value.where == str(tmp_path / FILE)
    assert caught.value.fix == "take the label away, or make the model anew"


@pytest.mark.parametrize("content", [b"", b"{", b"{'single': 'quotes'}", b"\xff\xfe"])
def test_a_file_that_is_no_json_is_one_config_error(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ConfigError, match="damaged: it is no JSON"):
        read_label(tmp_path)


def test_the_card_says_what_the_label_says_and_keeps_its_table(tmp_path):
    label = LABEL.model_copy(update={"sentence": "a | b\nc", "measured": None})
    card = render_card(label)
    assert "| in words | a &#124; b c |" in card
    assert "| measured | not yet |" in card
    assert "base_model" not in card
    assert "library_name: peft" in card
    named = label.base.model_copy(update={"hub_name": "org/name"})
    assert "base_model: org/name" in render_card(label.model_copy(update={"base": named}))
