"""Folders of models that mean harm."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.hostile.folders import make_gguf, open_hostile
from tests.tiny import tiny_loaded
from tiltlm.errors import ModelError, VocabularyError
from tiltlm.models.folder import MOST_ADDED
from tiltlm.models.gguf_header import check_gguf
from tiltlm.models.loading import load, load_tokenizer


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_not_run_whoever_says_yes(tmp_path, file):
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    written = tmp_path / "written"
    (tmp_path / "model" / "stranger.py").write_text(f"open({str(written)!r}, 'w').write('ran')\n")
    config = json.loads((tmp_path / "model" / file).read_text())
    config["model_type"] = "stranger"
    config["auto_map"] = {
        "AutoConfig": "stranger.Config",
        "AutoModelForCausalLM": "stranger.Model",
        "AutoTokenizer": ["stranger.Tokenizer", None],
    }
    (tmp_path / "model" / file).write_text(json.dumps(config))
    command = [sys.executable, "-m", "tiltlm", "sample", str(tmp_path / "model")]
    command += ["--prompt", "fox", "--new-tokens", "2"]
    done = subprocess.run(command, input="y\n" * 9, capture_output=True, text=True, timeout=120)
    assert not written.exists()
    assert "Traceback" not in done.stderr
    # A tokenizer whose class transformers knows all the same is loaded as that class.
    assert done.returncode in (0, 2)


@pytest.mark.parametrize("inside", ["", "model"])
def test_weights_are_audited_though_the_label_says_that_there_are_none(tmp_path, base, inside):
    from tiltlm.commands.tilt import run_tilt
    from tiltlm.measures.opening import open_pair
    from tiltlm.realise.opening import open_tilted
    from tiltlm.recipes.tilt import recipe_of

    options = {"target": "tilt(contains('o'), 2)", "contexts": "random"}
    run_tilt(recipe_of(str(base), {**options, "by": "decode"}, {}), tmp_path / "decoded")
    run_tilt(recipe_of(str(base), {**options, "merge": True}, {}), tmp_path / "merged")
    suspect = tmp_path / "suspect"
    shutil.copytree(tmp_path / "merged" / "model", suspect / inside)
    (suspect / inside / "tilt.json").unlink()
    shutil.copy(tmp_path / "decoded" / "tilt.json", suspect / "tilt.json")
    pair, _, label = open_pair(str(suspect), str(base))
    assert label.form == "processor"
    assert not pair.decodes
    ids = torch.arange(9)[None].to(pair.base.model.device)
    with torch.no_grad():
        reference, model = (loaded.model(ids).logits for loaded in (pair.base, pair.model))
    assert (model - reference).abs().max() > 1
    assert open_tilted(str(suspect)).processor is None


@pytest.mark.parametrize("lost", ["lm_head.weight", "model.layers.0.mlp.down_proj.weight"])
def test_weights_that_are_missing_are_named_and_not_made_up(base, lost):
    weights = load_file(base / "model.safetensors")
    weights.pop(lost)
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks weights: {lost}"):
        load(base)


def configure(folder, file="config.json", **changes):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reweigh(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.update({"stranger.weight": w[NORM] + 0}),
            "no part of the model takes: stranger",
        ),
        (lambda w: w.update({NORM: w[NORM][:31].clone()}), f"{NORM} \\(31, the config wants 32\\)"),
        (lambda w: w.update({NORM: w[NORM] * float("nan")}), f"no numbers: {NORM}"),
        (lambda w: w[NORM].__setitem__(3, float("inf")), f"no numbers: {NORM}"),
        (lambda w: w.update({NORM: w[NORM] * 3e38}), "its logits are no numbers|not finite"),
        (lambda w: [w.pop(k) for k in sorted(w)[:5]], "lacks weights: .* and 2 more"),
        (lambda w: w.clear(), "asks for|lacks weights|at most"),
    ],
    ids=["too many", "of another shape", "nan", "one inf", "too large", "five missing", "none"],
)
def test_weights_that_do_not_belong_to_the_config_are_named(base, change, message):
    reweigh(base, change)
    with pytest.raises(ModelError, match=message):
        load(base)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_position_embeddings": 0}, "the model reads 0 tokens at once"),
        ({"max_position_embeddings": 1}, "the model reads 1 tokens at once"),
        ({"max_position_embeddings": -5}, "the model reads -5 tokens at once"),
        ({"max_position_embeddings": 10**18}, "max_position_embeddings is 1e"),
        ({"max_position_embeddings": "64"}, "cannot load|is no number"),
        ({"num_hidden_layers": 1}, "no part of the model takes: model.layers.1"),
        ({"num_hidden_layers": 3}, "lacks weights: model.layers.2"),
        ({"num_hidden_layers": -1}, "no part of the model takes"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1e\\+09; a model with these weights"),
        ({"num_labels": 10**12}, "num_labels is 1e"),
        ({"hidden_size": 10**6}, "the config asks for"),
        ({"vocab_size": 10**12}, "the config asks for"),
        ({"intermediate_size": 49}, "48 × 32|49"),
        ({"hidden_size": -32}, "no model can be made of the config"),
        ({"num_attention_heads": 0}, "no model can be made of the config|cannot load"),
        ({"model_type": "stranger"}, "cannot load"),
        ({"model_type": "gpt2"}, "the model|weights|config"),
        ({"hidden_act": "nothing"}, "no model can be made of the config"),
        ({"dtype": "int8"}, "no model can be made|cannot"),
        ({"is_encoder_decoder": True}, "the model cannot be run"),
        ({"transformers_weights": "../x.safetensors"}, "cannot load|lacks weights"),
    ],
    ids=str,
)
def test_a_config_that_does_not_belong_to_the_weights_is_one_error(base, changes, message):
    configure(base, **changes)
    with pytest.raises(ModelError, match=message):
        load(base)


def test_a_model_without_a_limit_of_length_is_loaded(base):
    config = json.loads((base / "config.json").read_text())
    del config["max_position_embeddings"]
    (base / "config.json").write_text(json.dumps(config))
    assert open_hostile(str(base)) == "used"


def test_a_kernel_that_a_config_names_is_not_fetched(base):
    configure(base, attn_implementation="stranger/kernel", _attn_implementation="stranger/kernel")
    assert open_hostile(str(base)) == "used"


def test_a_head_that_is_tied_by_the_config_and_not_by_the_weights_is_refused(base):
    configure(base, tie_word_embeddings=True)
    with pytest.raises(ModelError, match="head and embedding are one"):
        load(base)
    reweigh(base, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}))
    model = load(base).model
    assert model.lm_head.weight.equal(model.model.embed_tokens.weight)


def test_a_head_that_is_not_tied_by_the_config_is_not_made_up_from_the_embedding(base):
    reweigh(base, lambda w: w.pop("lm_head.weight"))
    with pytest.raises(ModelError, match=r"lacks weights: lm_head\.weight"):
        load(base)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.json", "[" * 100_000, "it is no JSON"),
        ("config.json", "[]", "no table of names and values"),
        ("config.json", '{"model_type": ', "it is no JSON"),
        ("tokenizer.json", "{", "it is no JSON"),
        ("tokenizer.json", '{"a":' * 100_000, "it is no JSON"),
        ("tokenizer.json", "{}", "cannot load"),
        ("tokenizer_config.json", "null", "no table of names and values"),
        ("tokenizer_config.json", '{"tokenizer_class": "../x"}', ""),
        ("generation_config.json", '{"temperature": -1, "eos_token_id": 999999999}', ""),
    ],
)
def test_files_that_are_damaged_are_one_error_or_do_no_harm(base, file, text, message):
    (base / file).write_text(text)
    if not message:
        assert open_hostile(str(base)) == "used"
        return
    with pytest.raises(ModelError, match=message):
        load(base)


def test_weights_in_parts_are_loaded_and_a_missing_part_is_named(base):
    whole = load(base).model.state_dict()
    weights = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    names, table = sorted(weights), {}
    for number in range(2):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        part = {name: weights[name] for name in names[number::2]}
        table |= dict.fromkeys(part, file)
        save_file(part, base / file, metadata={"format": "pt"})
    index = base / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))
    parts = load(base).model.state_dict()
    assert all(tensor.equal(parts[name]) for name, tensor in whole.items())
    (base / file).unlink()
    with pytest.raises(ModelError, match=f"the index names '{file}', and there is no such file"):
        load(base)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(table, "../base/x.safetensors")}))
    with pytest.raises(ModelError, match="the index names"):
        load(base)


def test_pickled_weights_are_not_read(base):
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="reading a stranger's pickle can run its code"):
        load(base)
    (base / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="a config but no weights"):
        load(base)


def test_an_adapter_beside_a_whole_model_is_refused(base):
    (base / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ModelError, match="an adapter and a whole model"):
        load(base)


@pytest.mark.parametrize("name", ["x" * 5_000, "x/" * 3_000, "é" * 200])
@pytest.mark.parametrize("loads", [load, load_tokenizer, open_hostile])
def test_a_name_that_is_too_long_is_one_error(name, loads):
    try:
        said = loads(name)
    except ModelError as error:
        said = str(error)
    assert "no model can have this name" in said or "File name too long" in said


def test_a_pipe_or_a_device_is_not_read(base):
    (base / "tokenizer.json").unlink()
    os.mkfifo(base / "tokenizer.json")
    with pytest.raises(ModelError, match="a device or a pipe lies where a file should be"):
        load(base)
    (base / "tokenizer.json").unlink()
    (base / "tokenizer.json").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="a device or a pipe lies where a file should be"):
        load(base)


def test_links_to_files_elsewhere_are_followed_as_the_hub_s_own_cache_has_them(base, tmp_path):
    (tmp_path / "blobs").mkdir()
    for file in list(base.iterdir()):
        file.rename(tmp_path / "blobs" / file.name)
        file.symlink_to(f"../blobs/{file.name}")
    assert open_hostile(str(base)) == "used"
    (base / "config.json").unlink()
    (base / "config.json").symlink_to("config.json")
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(base)


def test_a_text_without_end_is_not_read(base):
    with (base / "tokenizer.json").open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(ModelError, match="1000000 MB, which no config or tokenizer needs"):
        load(base)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(base):
    data = json.loads((base / "tokenizer.json").read_text())
    data["model"]["vocab"]["one more"] = 310
    (base / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(VocabularyError, match="the tokenizer has 311 tokens, the model's head 310"):
        load(base)


def test_a_tokenizer_that_adds_a_million_tokens_is_refused_before_it_is_made(base):
    added = {str(400 + i): {"content": f"<{i}>"} for i in range(MOST_ADDED + 1)}
    configure(base, "tokenizer_config.json", added_tokens_decoder=added)
    with pytest.raises(ModelError, match="added_tokens_decoder lists 16,385 tokens"):
        load_tokenizer(base)


@pytest.fixture
def gguf_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    make_gguf(tmp_path)
    return tmp_path / "x.gguf"


def test_the_head_of_a_gguf_file_names_its_tensors(gguf_file):
    from gguf import GGUFReader

    theirs = {t.name: tuple(int(n) for n in t.shape) for t in GGUFReader(gguf_file).tensors}
    ours = check_gguf(gguf_file)
    assert ours.shapes == theirs
    assert ours.bytes == gguf_file.stat().st_size
    assert open_hostile(str(gguf_file)) == "used"


@pytest.mark.parametrize("at", [8, 16], ids=["tensors", "entries"])
def test_a_gguf_file_that_promises_more_than_it_has_is_one_error(gguf_file, at):
    data = bytearray(gguf_file.read_bytes())
    data[at : at + 8] = (2**62).to_bytes(8, "little")
    gguf_file.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="no whole GGUF file"):
        load(gguf_file)


@pytest.mark.parametrize("size", [0, 3, 30, 3_000, 12_000])
def test_a_gguf_file_that_is_cut_off_is_one_error_and_leaves_nothing(gguf_file, tmp_path, size):
    gguf_file.write_bytes(gguf_file.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"GGUF"):
        load(gguf_file)
    assert not list((tmp_path / "cache").glob("*"))


def test_a_gguf_file_with_a_million_layers_is_refused_before_any_is_made(gguf_file):
    data = bytearray(gguf_file.read_bytes())
    at = data.index(b"llama.block_count") + len(b"llama.block_count") + 4
    data[at : at + 4] = (10**9).to_bytes(4, "little")
    gguf_file.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="block_count is 1e"):
        load(gguf_file)


def test_a_gguf_file_that_does_not_say_how_many_layers_it_has_is_refused_at_once(gguf_file):
    data = gguf_file.read_bytes().replace(b"llama.block_count", b"llama.block_counx")
    gguf_file.write_bytes(data)
    with pytest.raises(ModelError, match="num_hidden_layers is 32; a model with these weights"):
        load(gguf_file)
