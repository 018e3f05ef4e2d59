"""Adapters that mean harm, or that belong to another base."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.hostile.folders import make_tilted
from tests.tiny import tiny_config, tiny_loaded, tiny_perturbed
from tiltlm.auditing.models import open_suspect
from tiltlm.errors import ConfigError, ModelError
from tiltlm.models.loading import load, load_tokenizer


@pytest.fixture(scope="module")
def tilted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tilted")
    make_tilted(folder)
    return folder


@pytest.fixture
def adapter(tilted, tmp_path):
    """A folder of an adapter and nothing else, without a label."""
    shutil.copytree(tilted / "adapter" / "model", tmp_path / "adapter")
    (tmp_path / "adapter" / "tilt.json").unlink()
    return tmp_path / "adapter"


def configure(folder, **changes):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def reweigh(folder, change):
    file = folder / "adapter_model.safetensors"
    tensors = dict(load_file(file))
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


A, B = (f"base_model.model.lm_head.lora_{side}.weight" for side in "AB")


def test_an_adapter_without_a_label_is_put_on_the_base_that_peft_names(adapter, tilted):
    whole = load(tilted / "merged" / "model").model.state_dict()
    merged = load(adapter).model.state_dict()
    assert (whole["lm_head.weight"] - merged["lm_head.weight"]).abs().max() < 1e-5


def test_a_pattern_of_modules_means_what_it_means_to_peft(adapter, tilted):
    names = load(adapter).model.state_dict()
    configure(adapter, target_modules=".*(lm_head)$")
    patterns = load(adapter).model.state_dict()
    assert all(tensor.equal(patterns[name]) for name, tensor in names.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(A), f"the adapter lacks weights: {A}"),
        (lambda t: t.clear(), "says rank 1, its weights have another"),
        (lambda t: t.update({"stranger.weight": t[A]}), "no part of the adapter takes: stranger"),
        (lambda t: t.update({A: t[A][:, :-1].copy()}), "size mismatch for .*lora_A"),
        (lambda t: t.update({A: np.vstack([t[A], t[A]])}), "size mismatch for .*lora_A"),
        (lambda t: t.update({A: t[A] * np.nan}), "weights are infinite or no numbers: lm_head"),
        (lambda t: t.update({B: t[B] + np.inf}), "weights are infinite or no numbers: lm_head"),
    ],
    ids=["missing", "empty", "too many", "narrower", "of higher rank", "nan", "inf"],
)
def test_weights_that_do_not_fit_are_one_error_that_names_them(adapter, change, message):
    reweigh(adapter, change)
    with pytest.raises(ModelError, match=message):
        load(adapter)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 10**9}, "the adapter's config says rank 1000000000, its weights have another"),
        ({"r": 2}, "size mismatch"),
        ({"r": "four"}, "says rank four"),
        ({"lora_alpha": "x"}, "cannot put the adapter on its base"),
        ({"rank_pattern": {"lm_head": 10**9}}, "says rank 1000000000"),
        ({"rank_pattern": {"(.*)+x": 1}}, "rank_pattern holds what is no name of a module"),
        ({"rank_pattern": 3}, "rank_pattern holds what is no name|rank"),
        ({"target_modules": "([a-z._]+)+x"}, "no module of the base is meant by target_modules"),
        ({"target_modules": "("}, "target_modules is no pattern"),
        ({"target_modules": "\ud800"}, "target_modules is no pattern"),
        ({"alora_invocation_tokens": [1]}, "cannot merge the adapter into its base"),
        ({"target_modules": ["stranger"]}, "cannot put the adapter on its base"),
        ({"layer_replication": [[0, 10**9]]}, "layer_replication is 1e\\+09"),
        ({"peft_type": "STRANGER"}, "no config of an adapter"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 1}, "cannot put|no config|lacks"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path is no name"),
        ({"base_model_name_or_path": None}, "does not name its base"),
        ({"base_model_name_or_path": "x" * 5_000}, "no model can have this name"),
        ({"base_model_name_or_path": "./nowhere"}, "no such folder or file"),
        ({"megatron_config": {"x": 1}, "megatron_core": "this"}, "a module that it names"),
    ],
)
def test_a_config_that_makes_no_sense_is_one_error(adapter, changes, message):
    configure(adapter, **changes)
    with pytest.raises(ModelError, match=message):
        load(adapter)


@pytest.mark.parametrize("loads", [load, load_tokenizer])
def test_adapters_that_name_each_other_as_their_base_are_one_error(adapter, tmp_path, loads):
    shutil.copytree(adapter, tmp_path / "second")
    configure(adapter, base_model_name_or_path=str(tmp_path / "second"))
    configure(tmp_path / "second", base_model_name_or_path=str(tmp_path / "x" / ".." / "adapter"))
    (tmp_path / "x").mkdir()
    with pytest.raises(ModelError, match="base is an adapter on it, or there are too many"):
        loads(adapter)
    configure(adapter, base_model_name_or_path=str(adapter))
    with pytest.raises(ModelError, match="base is an adapter on it, or there are too many"):
        loads(adapter)


def test_an_adapter_on_an_adapter_is_put_on_both(adapter, tilted, tmp_path):
    shutil.copytree(adapter, tmp_path / "second")
    configure(tmp_path / "second", base_model_name_or_path=str(adapter))
    base, once, twice = (
        load(name).model.state_dict()["lm_head.weight"]
        for name in (tilted / "base", adapter, tmp_path / "second")
    )
    assert (twice - once - (once - base)).abs().max() < 1e-5
    assert (once - base).abs().max() > 1e-3


def test_a_base_with_other_weights_than_the_label_says_is_refused(tilted, tmp_path):
    for name in ("base", "adapter"):
        shutil.copytree(tilted / name, tmp_path / name)
    tiny_perturbed().model.save_pretrained(tmp_path / "base")
    file = tmp_path / "adapter" / "model" / "tilt.json"
    label = json.loads(file.read_text())
    label["base"]["name"] = str(tmp_path / "base")
    file.write_text(json.dumps(label))
    configure(tmp_path / "adapter" / "model", base_model_name_or_path=str(tmp_path / "base"))
    with pytest.raises(ModelError, match="not the base that the label names"):
        load(tmp_path / "adapter" / "model")


def test_a_label_and_a_config_that_name_two_bases_are_refused(tilted, tmp_path):
    shutil.copytree(tilted / "adapter" / "model", tmp_path / "a")
    other = tmp_path / "other"
    for part in tiny_loaded():
        part.save_pretrained(other)
    configure(tmp_path / "a", base_model_name_or_path=str(other))
    with pytest.raises(ModelError, match="other programs would use the first"):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_layer": 10**9}, "n_layer is 1e"),
        ({"n_embd": 10**7, "n_head": 1, "n_layer": 4}, "is too large"),
        ({"n_embd": "wide"}, "no Model 5 can be made so"),
        ({"n_embd": -8, "n_head": 1}, "n_embd is -8"),
        ({"num_labels": 10**12}, "no field 'num_labels'"),
    ],
)
def test_a_label_cannot_ask_for_a_base_that_fills_the_memory(tilted, tmp_path, config, message):
    shutil.copytree(tilted / "adapter" / "model", tmp_path / "a")
    file = tmp_path / "a" / "tilt.json"
    label = json.loads(file.read_text())
    label["base"] = {"name": "model5", "sha256": None, "seed": 1, "config": config}
    file.write_text(json.dumps(label))
    configure(tmp_path / "a", base_model_name_or_path="model5")
    with pytest.raises((ModelError, ConfigError), match=message):
        load(tmp_path / "a")


def test_pickled_weights_of_an_adapter_are_not_read(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="reading a stranger's pickle can run its code"):
        load(adapter)


def test_an_adapter_for_a_base_of_another_width_is_one_error(adapter, tmp_path):
    config = tiny_config("llama", 310)
    config.hidden_size = 48
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
    tiny_loaded().tokenizer.save_pretrained(tmp_path / "wide")
    configure(adapter, base_model_name_or_path=str(tmp_path / "wide"))
    with pytest.raises(ModelError, match=r"size mismatch for .*lm_head"):
        load(adapter)


def test_files_beside_a_base_do_not_make_it_pass_for_the_reference(adapter, tilted, tmp_path):
    evil = tmp_path / "evil"
    shutil.copytree(tilted / "base", evil)
    shutil.copy(tilted / "base" / "model.safetensors", evil / "zz.safetensors")
    tiny_perturbed().model.save_pretrained(evil)
    configure(adapter, base_model_name_or_path=str(evil))
    pair = open_suspect(str(adapter), str(tilted / "base"))
    ours, theirs = (loaded.model.model.embed_tokens.weight for loaded in (pair.base, pair.model))
    assert not ours.equal(theirs)
    assert theirs.equal(load(evil).model.model.embed_tokens.weight)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("adapter_config.json", "[" * 100_000),
        ("adapter_config.json", "[]"),
        ("adapter_model.safetensors", "\xff" * 64),
    ],
)
def test_a_damaged_adapter_is_one_error_beside_its_reference_too(adapter, tilted, file, text):
    (adapter / file).write_text(text, encoding="latin-1")
    with pytest.raises(ModelError):
        open_suspect(str(adapter), str(tilted / "base"))
    (adapter / file).unlink()
    os.mkfifo(adapter / file)
    with pytest.raises(ModelError):
        open_suspect(str(adapter), str(tilted / "base"))


@pytest.mark.parametrize("header", [b"\xff" * 7 + b"\x0f", b"\x08" + b"\x00" * 7 + b"{{{{{{{{"])
def test_a_damaged_head_of_weights_is_one_error_beside_its_reference_too(tilted, tmp_path, header):
    shutil.copytree(tilted / "base", tmp_path / "s")
    file = tmp_path / "s" / "model.safetensors"
    file.write_bytes(header + file.read_bytes())
    with pytest.raises(ModelError, match="the weights cannot be read"):
        open_suspect(str(tmp_path / "s"), str(tilted / "base"))
