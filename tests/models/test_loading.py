"""What `load` refuses, and that it refuses without asking the Hub."""

import pytest
import transformers

from tests.conftest import TINY
from tests.tiny import tiny_loaded
from tiltlm.errors import ConfigError, ModelError
from tiltlm.models.loading import load, load_base, load_tokenizer
from tiltlm.models.names import hub_name
from tiltlm.realise.preparation import prepare


@pytest.fixture
def no_hub(monkeypatch):
    """Transformers, which asks the Hub for whatever it does not find, must not be reached."""
    for name in ("AutoTokenizer", "AutoModelForCausalLM", "AutoConfig"):
        monkeypatch.setattr(
            getattr(transformers, name),
            "from_pretrained",
            lambda *_, **__: pytest.fail("transformers was asked"),
        )


@pytest.mark.parametrize("name", ["x.gguf", "nowhere/x.gguf", "/nowhere/deep/x.gguf"])
@pytest.mark.parametrize("loads", [load, load_tokenizer])
@pytest.mark.usefixtures("no_hub")
def test_a_missing_gguf_file_is_one_model_error_that_never_asks_the_hub(name, loads):
    with pytest.raises(ModelError, match="no such GGUF file") as caught:
        loads(name)
    assert (caught.value.where, caught.value.fix) == (name, "correct the path")
    assert hub_name(name) is None


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "~/nowhere", "a/b/c"])
@pytest.mark.usefixtures("no_hub")
def test_a_path_that_leads_nowhere_is_not_looked_for_on_the_hub(name):
    with pytest.raises(ModelError, match="no such folder or file"):
        load(name)


@pytest.mark.usefixtures("no_hub")
def test_a_folder_without_a_model_says_where_one_lies(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        load(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert caught.value.fix == f"use {tmp_path / 'model'}"


def test_fields_of_model5_are_checked_and_are_for_model5_alone(tmp_path):
    with pytest.raises(ConfigError, match="no field 'n_layers'"):
        load("model5", config={"n_layers": 2})
    with pytest.raises(ConfigError, match="for model5 only"):
        load(tmp_path, config={"n_layer": 2})


def test_a_model5_is_labelled_with_what_its_weights_were_drawn_by():
    config = {k: v for k, v in TINY.items() if k != "vocab_size"}
    loaded = load("model5", seed=5, config=config)
    base = prepare(loaded, "tilt(contains('x'), 1)", "own:4", seed=2).base
    assert (base.name, base.seed, base.config, base.hub_name) == ("model5", 5, config, None)
    again = load_base(base).model.state_dict()
    assert all(tensor.equal(again[name]) for name, tensor in loaded.model.state_dict().items())


def test_a_model_that_was_put_together_by_hand_is_labelled_by_its_kind():
    base = prepare(tiny_loaded(), "tilt(contains('o'), 1)", "random").base
    assert (base.name, base.seed, base.config) == ("LlamaForCausalLM", None, {})
