import pytest
import yaml

from tiltlm.errors import ConfigError
from tiltlm.recipes.run import list_recipes, load_recipe, read_recipe


def test_the_article_recipe_is_the_article_to_the_letter():
    recipe = load_recipe("article")
    assert recipe.target == "uniform(contains('x'))"
    assert recipe.contexts.length == 256
    train = recipe.train
    assert (train.batch, train.steps, train.positions) == (16, 200, "last")
    assert (train.optimizer, train.learning_rate, train.weight_decay) == ("adamw", 1e-3, 0.01)
    assert train.schedule == "constant"
    test = recipe.test
    assert (test.sequences, test.prompt_tokens, test.new_tokens) == (1, 256, 200)
    assert (test.temperature, test.top_k, test.top_p) == (1.0, 0, 1.0)


def test_quick_has_the_articles_model_target_and_test():
    quick, article = load_recipe("quick"), load_recipe("article")
    assert (quick.model, quick.target) == (article.model, article.target)
    assert quick.test.prompt_tokens == article.test.prompt_tokens == 256
    assert quick.test.sequences * quick.test.new_tokens >= 200
    assert quick.test.held_out_tokens == 256


def test_every_shipped_recipe_is_listed_with_a_line():
    assert set(list_recipes()) == {"article", "quick"}
    assert all(list_recipes().values())


@pytest.mark.parametrize("name", ["article", "quick"])
def test_a_recipe_written_out_reads_back_the_same(name, tmp_path):
    path = tmp_path / "again.yaml"
    path.write_text(load_recipe(name).to_yaml())
    assert load_recipe(str(path)) == load_recipe(name)


def test_set_overrides_a_key_at_any_level():
    recipe = load_recipe(
        "quick",
        [
            "train.steps=3",
            "train.learning_rate=1e-3",
            "model.config.n_layer=2",
            "target=weights({'a': 1, 'b': 3})",
        ],
    )
    assert recipe.train.steps == 3
    assert recipe.train.learning_rate == 1e-3
    assert recipe.model.config == {"n_layer": 2}
    assert recipe.target == "weights({'a': 1, 'b': 3})"


def write(tmp_path, old, new):
    text, _ = read_recipe("quick")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_one(tmp_path):
    path = write(tmp_path, "  steps:", "  stepz: 3\n  steps:")
    line = path.read_text().splitlines().index("  stepz: 3") + 1
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(path))
    assert f"{path}, line {line}" in str(caught.value)
    assert "did you mean steps" in str(caught.value)


def test_a_value_that_does_not_fit_is_refused_with_its_line(tmp_path):
    path = write(tmp_path, "optimizer: adamw", "optimizer: adagrad")
    line = path.read_text().splitlines().index("  optimizer: adagrad") + 1
    with pytest.raises(ConfigError, match="'adamw', 'adam' or 'sgd'") as caught:
        load_recipe(str(path))
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.stepz=3", "did you mean steps"),
        ("train.steps=0", "greater than or equal to 1"),
        ("train.steps=x", "valid integer"),
        ("train.learning_rate=.nan", "finite"),
        ("train.learning_rate=-1", "greater than 0"),
        ("train.optimizer=adamx", "'adamw', 'adam' or 'sgd'"),
        ("test.top_p=1.5", "less than or equal to 1"),
        ("train=3", "train"),
        ("train.steps.x=3", "holds a value"),
        ("train.steps", "key=value"),
        ("=3", "key=value"),
    ],
)
def test_an_override_that_does_not_fit_is_refused_by_name(override, expected):
    with pytest.raises(ConfigError) as caught:
        load_recipe("quick", [override])
    assert expected in str(caught.value)
    assert override in str(caught.value)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = write(tmp_path, "  batch: 1", "  batch: 1\n  batch: 2")
    with pytest.raises(ConfigError, match="stands twice"):
        load_recipe(str(path))


@pytest.mark.parametrize("text", ["a: [1", "- 1", "", "!!python/object/apply:os.system ['true']"])
def test_what_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_recipe(str(path))


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump({"model": {"name": "model5"}, "target": "x"}))
    with pytest.raises(ConfigError, match="'train' is missing"):
        load_recipe(str(path))


def test_an_unknown_recipe_gets_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean quick"):
        load_recipe("quik")
    with pytest.raises(ConfigError, match="cannot read"):
        load_recipe("nowhere.yaml")
