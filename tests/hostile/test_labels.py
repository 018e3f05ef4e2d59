"""Whatever stands in a label is a label, or one error; it reads no file and asks for no end."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import strategies as st
from peft import LoraConfig

from tests.hostile.fuzzing import (
    NASTY,
    among,
    door,
    mutated,
    nasty_texts,
    nasty_values,
    nested,
    push,
    written,
)
from tests.hostile.test_language import expressions
from tests.tiny import tiny_loaded
from tiltlm.errors import ConfigError, ModelError, TargetError
from tiltlm.labels.card import render_card, write_label
from tiltlm.labels.label import FILE, Label, find_label, read_label
from tiltlm.labels.step import LabelBase
from tiltlm.models.adapter import MOST_ADAPTERS
from tiltlm.models.loading import load, load_base, load_tokenizer
from tiltlm.targets.from_label import bind_labelled

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
    measured=None,
    versions={"tiltlm": "0.1.0"},
)
GOOD = LABEL.model_dump(mode="json")


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A label with some of its values replaced, taken out, or put in."""
    data = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        inside = draw(among([data, data["base"]])) if isinstance(data.get("base"), dict) else data
        inside[draw(among([*GOOD, *GOOD["base"], "figure"]))] = draw(nasty_values)
    return json.dumps(data).encode()


contents = st.one_of(
    changed(),
    changed(),
    mutated(
        [json.dumps(GOOD)], ["{", "}", "[", "]", '"', ",", "null", "NaN", "1e999", "-Infinity"]
    ).map(lambda text: text.encode(errors="surrogatepass")),
    nested('{"chain": [', "1", "]}").map(str.encode),
    nested('{"schema_version": 2, "history": [', "1", "]}").map(str.encode),
    nested("[", "1", "]").map(str.encode),
    st.binary(max_size=30),
)


@door("labels", contents)
def read(content):
    with written(content, FILE) as path:
        label = read_label(path.parent)
        assert label is not None
        write_label(path.parent, label.model_copy(update={"versions": GOOD["versions"]}))
        again = read_label(path.parent)
        assert again is not None
        assert again.target == label.target


BASE = []


@door("targets of labels", st.tuples(expressions, st.none() | st.lists(st.floats(), max_size=2)))
def bind(drawn):
    text, strengths = drawn
    BASE or BASE.append(tiny_loaded())
    bound = bind_labelled(
        LABEL.model_copy(update={"target": text, "strengths": strengths}), BASE[0]
    )
    assert not bound.needs_fit()


@door("names of models", nasty_texts | nasty_texts.map(lambda name: f"./{name}"))
def name(name):
    find_label(name)
    if len(name) > 250 or "\0" in name or name.startswith(("/", ".", "~")):
        load_tokenizer(name)  # others would be looked for on the Hub


@pytest.mark.parametrize("through", [read, bind, name], ids=lambda d: d.name)
def test_a_label_is_read_or_is_one_error(through):
    assert push(through, 200).faults == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "many"}, "damaged: seed: "),
        ({"target": ["tilt"]}, "damaged: target: "),
        ({"strengths": [float("nan")]}, "no JSON .*NaN is no number"),
        ({"strengths": [float("inf")]}, "no JSON .*Infinity is no number"),
        ({"strengths": {"a": 1}}, "damaged: strengths: "),
        ({"versions": [1]}, "damaged: versions: "),
        ({"schema_version": "x" * 9000}, "of another version"),
        ({"base": "model5"}, "damaged: base: "),
        ({"base": {**GOOD["base"], "name": "x" * 5000}}, "no model can have this name"),
        ({"base": {**GOOD["base"], "name": "a\0b"}}, "no model can have this name"),
        ({"base": {**GOOD["base"], "name": ""}}, "no model can have this name"),
        ({"base": {**GOOD["base"], "name": "a\nb"}}, "no model can have this name"),
        ({"base": {**GOOD["base"], "name": "\ud800"}}, "surrogates not allowed"),
        ({"mood" * 900: 1}, "damaged: mood"),
    ],
    ids=lambda change: ascii(change)[:40],
)
def test_a_label_that_is_none_is_one_short_error(tmp_path, change, message):
    (tmp_path / FILE).write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(ConfigError, match=message) as caught:
        read_label(tmp_path)
    assert caught.value.where == str(tmp_path / FILE)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"history": [' * 900 + "]}" * 900,
        json.dumps(GOOD)[:-1] + ', "history": [' * 300 + "]}" * 300,
        '{"seed": ' + "9" * 5000 + "}",
        '{"seed": 1e999}',
        "\ufeff" + json.dumps(GOOD),
        "x" * (17 << 20),
    ],
    ids=lambda text: text[:20],
)
def test_a_label_without_end_is_one_error(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"the label (is damaged|cannot be read)"):
        read_label(tmp_path)


def test_a_label_that_is_no_regular_file_is_no_label_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / FILE)
    assert read_label(tmp_path) is None
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to("/dev/zero")
    assert read_label(tmp_path) is None
    assert find_label("x" * 5000) == ("x" * 5000, None)
    assert find_label("a\0b") == ("a\0b", None)


@pytest.mark.parametrize(
    "target",
    ["tilt(word(lines('{path}')), 1)", "choices('{path}')", "mix(choices('{path}'), 0.5)"],
)
def test_the_target_of_a_label_reads_no_file(tmp_path, target):
    path = tmp_path / "list.json"
    path.write_text('["fox", "box"]')
    label = LABEL.model_copy(update={"target": target.format(path=path)})
    with pytest.raises(TargetError, match="it names a file") as caught:
        bind_labelled(label, tiny_loaded())
    assert caught.value.where == "tilt.json"
    assert "box" not in str(caught.value)


def test_a_label_made_of_a_word_list_stands_alone(base, tmp_path):
    from tiltlm.commands.tilt import run_tilt
    from tiltlm.recipes.tilt import recipe_of

    path = tmp_path / "list.json"
    path.write_text('["fox", "box"]')
    options = {"target": f"tilt(contains(lines('{path}')), 1)", "contexts": "random"}
    run_tilt(recipe_of(str(base), {**options, "by": "decode"}, {}), tmp_path / "tilted")
    path.unlink()
    label = read_label(tmp_path / "tilted")
    assert label.target == "tilt(contains('fox', 'box'), 1)"
    assert bind_labelled(label, load(base)).text == label.target


@pytest.mark.parametrize("strengths", [[1e300], [float("nan")], [1.0, 2.0], []])
def test_strengths_that_no_fit_gives_are_refused(strengths):
    label = LABEL.model_copy(update={"strengths": strengths})
    with pytest.raises(TargetError):
        bind_labelled(label, tiny_loaded())


def adapter(folder: Path, base: str, labelled: bool) -> Path:
    """A folder that says it is an adapter of a base, by a label or by its config."""
    folder.mkdir(parents=True)
    LoraConfig(base_model_name_or_path=base).save_pretrained(folder)
    if labelled:
        write_label(folder, LABEL.model_copy(update={"base": LabelBase(name=base, sha256=None)}))
    return folder


@pytest.mark.parametrize("labelled", [True, False], ids=["by label", "by config"])
@pytest.mark.parametrize("read", [load, load_tokenizer])
def test_bases_in_a_circle_or_without_end_are_one_error(tmp_path, labelled, read):
    adapter(tmp_path / "self", str(tmp_path / "self"), labelled)
    adapter(tmp_path / "one", str(tmp_path / "two"), labelled)
    adapter(tmp_path / "two", str(tmp_path / "link" / ".." / "link"), labelled)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    for number in range(MOST_ADAPTERS + 1):
        adapter(tmp_path / f"{number}", str(tmp_path / f"{number + 1}"), labelled)
    for first in ("self", "one", "link", "0"):
        with pytest.raises(ModelError, match="an adapter on it, or there are too many"):
            read(tmp_path / first)


@pytest.mark.parametrize(
    "change", [{"seed": 10**30}, {"config": {"n_layer": "x"}}, {"config": {"n_layer": 10**9}}]
)
def test_a_base_that_cannot_be_made_is_one_error(change):
    with pytest.raises((ConfigError, ModelError)):
        load_base(LABEL.base.model_copy(update=change))


def test_the_card_of_a_label_of_any_texts_is_written(tmp_path):
    for text in NASTY:
        label = LABEL.model_copy(update={"sentence": text, "contexts": text})
        try:
            text.encode()
        except UnicodeEncodeError:
            continue
        assert render_card(label)
