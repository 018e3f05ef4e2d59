"""Whatever stands in a recipe is a recipe, or one error that says where; nothing blows up."""

import json
import time

import pytest
import yaml
from hypothesis import strategies as st

from tests.hostile.fuzzing import (
    NASTY,
    among,
    door,
    mutated,
    nasty_texts,
    nasty_values,
    nested,
    push,
)
from tiltlm.errors import ConfigError, ModelError
from tiltlm.recipes.plain_yaml import read_mapping
from tiltlm.recipes.run import Recipe, load_recipe, read_recipe
from tiltlm.recipes.settings import read_settings
from tiltlm.recipes.tilt import TiltRecipe, raw_recipe, recipe_of

TILT = """\
model: smollm2
target: tilt(contains('x'), 1)
by: train
contexts: own:24
merge: true
seed: 3
training: {parameters: head, steps: 30, batch: 4, learning_rate: 1e-3, start: edit}
"""
GOOD = [TILT, read_recipe("article")[0], read_recipe("quick")[0]]

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine levels of nine: 387 million values of 600 bytes."""

PIECES = [
    *("&a ", "*a", "&a [*a]", "<<: *a", "<<: {a: 1}", "!!python/object:os.system x", "!!binary x"),
    *(
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
        "!!set {a}",
        "!!omap [a: 1]",
        "!x y",
        "! y",
    ),
    *(
        "2020-01-01",
        "2020-99-99",
        "12:30:45",
        "1_000",
        "0x_",
        "0b_",
        "08",
        "0o17",
        "1e3",
        ".inf",
        ".nan",
    ),
    *(
        "9" * 400,
        "9" * 5000,
        "0x" + "f" * 5000,
        '"\\U99999999"',
        '"\\ud800"',
        '"\\x"',
        "'",
        '"',
        "|",
        ">",
    ),
    *(
        "? ",
        "? [a]\n: b\n",
        "- ",
        ": ",
        "\n",
        "\t",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        "#",
        "=",
        "~",
        "on",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        "steps: 1\n",
        "training: ",
        "null: 1\n",
        "1: 2\n",
        "{a: 1, a: 2}",
        LAUGHS,
    ),
]

texts = st.one_of(
    mutated(GOOD, PIECES),
    mutated(GOOD, PIECES),
    st.dictionaries(
        among([*TiltRecipe.model_fields, *Recipe.model_fields]) | nasty_texts, nasty_values
    ).map(lambda d: json.dumps(d)),
    st.lists(among(PIECES + NASTY), max_size=10).map("".join),
    nested("[", "1", "]"),
    nested("{a: ", "1", "}"),
    nested("- ", "1", ""),
    nested("a:\n ", "1", ""),
    st.text(max_size=40),
)
keys = among(
    [
        "train.steps",
        "description",
        "train",
        "test.top_p",
        "model.config.n_layer",
        "model.name",
        "target",
        "a..b",
        "",
    ]
)
overrides = st.one_of(
    st.tuples(keys, among(PIECES) | nasty_texts | nasty_values.map(repr)).map("=".join),
    nasty_texts,
)


@door("recipes of tilt", texts)
def read_tilt(text):
    recipe = read_settings(TiltRecipe, text, "fuzzed.yaml")
    assert TiltRecipe.model_validate(recipe.model_dump()) == recipe


@door("recipes of run", texts)
def read_run(text):
    recipe = read_settings(Recipe, text, "fuzzed.yaml")
    assert read_settings(Recipe, recipe.to_yaml(), "again.yaml") == recipe


@door("overrides", st.lists(overrides, min_size=1, max_size=3))
def override(changes):
    load_recipe("quick", changes)


@door(
    "names of recipes",
    among(["quick", "article", "quik"])
    | nasty_texts
    | nasty_texts.map(lambda name: name + ".yaml"),
)
def find(name):
    load_recipe(name)


@pytest.mark.parametrize("through", [read_tilt, read_run, override, find], ids=lambda d: d.name)
def test_a_recipe_is_read_or_is_one_error(through):
    assert push(through, 200).faults == []


@pytest.mark.parametrize("text", GOOD)
def test_the_good_recipes_that_are_mutated_are_good(text):
    assert read_mapping(text, "good.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed: 2020-01-01", "'seed' is '2020-01-01': input should be a valid integer"),
        ("seed: 2020-99-99", "valid integer"),
        ("seed: 12:30:45", "'seed' is '12:30:45': input should be a valid integer"),
        ("seed: 1.5", "valid integer"),
        ("seed: " + "9" * 20, "less than or equal to"),
        ("seed: " + "9" * 5000, "a number of too many digits"),
        ("seed: 0x" + "f" * 5000, "a number of too many digits"),
        ("seed: '" + "9" * 5000 + "'", "unable to parse"),
        ("seed: 0b_", "invalid literal"),
        ("seed: .inf", "finite"),
        ("seed: .nan", "finite"),
        ("training: {learning_rate: .inf}", "finite"),
        ("training: {learning_rate: 1e999}", "finite"),
        ("training: {steps: 3, steps: 4}", "the key 'training.steps' stands twice"),
        ("contexts: [{a: 1, a: 2}]", "the key 'a' stands twice"),
        ("seed: 1\nseed: 2", "the key 'seed' stands twice"),
        ("seed: &a 1\nby: *a", "stands for what is written elsewhere"),
        ("contexts: &a [*a]", "stands for what is written elsewhere"),
        ("<<: {seed: 1}", "unknown key '<<'"),
        ("=: 1", "unknown key '='"),
        ("2: 1", "should be a valid string|unknown key|keys should be strings"),
        ("? [a]\n: 1", "a key is no list"),
        ("contexts: " + "[" * 900 + "]" * 900, "nested more than 20 deep"),
        ("contexts: " + "{a: " * 90 + "}" * 90, "nested more than 20 deep"),
        ("contexts: [" + "1," * 20_000 + "]", "more than 10000 keys and values"),
        ("contexts: !!binary aGVsbG8=", "the tag '.*binary' is not understood"),
        ("contexts: !!python/name:os.system", "the tag .* is not understood"),
        ("contexts: !!int x", "the tag .* is not understood"),
        ('contexts: "\\U99999999"', "this is no YAML: "),
        ('contexts: "\\ud800"', "half a character"),
        ("contexts: a\0b", "this is no YAML"),
        ("contexts: " + "x" * 500_000 + "\nsed: 1", "did you mean seed"),
        (LAUGHS, "stands for what is written elsewhere"),
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_what_yaml_can_do_besides_is_refused_with_its_line(change, message):
    text = f"model: smollm2\ntarget: tilt(contains('x'), 1)\n{change}\n"
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=message) as caught:
        read_settings(TiltRecipe, text, "mine.yaml")
    assert time.perf_counter() - began < 10
    assert "mine.yaml" in caught.value.where
    assert len(str(caught.value)) < 1500


def test_half_a_character_is_refused_in_an_option_too():
    for value in ("\ud800", "text:\udcff"):
        with pytest.raises(ConfigError, match="half a character"):
            load_recipe("quick", [f"description={value}"])


def test_the_line_of_what_is_refused_is_told():
    with pytest.raises(ConfigError) as caught:
        read_settings(TiltRecipe, "model: m\ntarget: t\n\nseed: *a\n", "mine.yaml")
    assert caught.value.where == "mine.yaml, line 4"


def test_plain_values_are_read_as_before():
    text = (
        "a: 1\nb: -0x1F\nc: 1.5\nd: true\ne: null\nf: ''\ng: [1, {h: x}]\ni: 'no'\nj: 1_000\nk: ~\n"
    )
    assert read_mapping(text, "x.yaml")[0] == yaml.safe_load(text)
    for text in GOOD:
        assert read_mapping(text, "x.yaml")[0] == yaml.safe_load(text)


@pytest.mark.parametrize("read", [load_recipe, lambda name: raw_recipe(name, {})])
def test_a_recipe_is_a_regular_file_of_some_size(tmp_path, read):
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "large.yaml").write_text("#" * (2 << 20))
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    for name, reason in {
        "zero": "no regular file",
        "folder": "Is a directory",
        "large": "more than 1 MB",
        "latin": "utf-8",
        "x" * 300: "name too long",
        "nowhere": "No such file",
        "nul\0": "null byte",
    }.items():
        with pytest.raises(ConfigError, match=f"cannot read the recipe: .*{reason}"):
            read(str(tmp_path / f"{name}.yaml"))


def test_a_seed_is_one_that_draws_can_have():
    with pytest.raises(ConfigError, match="less than or equal to 1000000000000"):
        recipe_of("m", {"target": "t", "seed": 10**30}, {})


def test_fields_of_model5_of_the_wrong_type_or_size_are_one_error():
    from tiltlm.models.loading import load

    for field in (
        *(
            {"n_layer": "two"},
            {"n_layer": -1},
            {"n_layer": 10**9},
            {"n_layer": 1.5},
            {"n_embd": None},
        ),
        *({"n_head": 0}, {"n_embd": [1]}, {"vocab_size": 10**12}, {"activation_function": "none"}),
        *({"logits_scaling": "x"}, {"n_positions": 0}, {"initialisation": 5}, {"dtype": "zzz"}),
    ):
        with pytest.raises((ConfigError, ModelError)):
            load("model5", config={"n_layer": 1, "n_embd": 16, "n_head": 2, **field})
