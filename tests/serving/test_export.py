"""Exports: what each engine gets, that it is the tilt, and what is refused."""

import errno
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.serving.conftest import TARGET
from tests.tiny import TEXT, tiny_loaded
from tiltlm.commands.tilt import run_tilt
from tiltlm.commands.undo import UndoOptions, run_undo
from tiltlm.errors import ConfigError, ModelError, StorageError, TargetError
from tiltlm.labels.label import find_label
from tiltlm.models.loading import load
from tiltlm.models.places import locate
from tiltlm.recipes.tilt import recipe_of
from tiltlm.serving.export import whole
from tiltlm.serving.export.engines import check_gguf_head, check_vllm_head, check_vllm_lora
from tiltlm.serving.export.exporting import ExportOptions, export
from tiltlm.targets.parse import parse_target


def exported(source, engine, out, **options):
    return export(str(source), engine, out, ExportOptions(**options))


def files_of(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_a_whole_model_is_the_tilt_in_plain_transformers_its_head_untied(lab, tmp_path):
    record = exported(lab / "edit", "transformers", tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out/model")
    assert not model.config.tie_word_embeddings
    base = load(lab / "base")
    ids = torch.tensor([base.tokenizer("bado kilu menopi")["input_ids"]])
    with torch.no_grad():
        own, before = model(ids).logits[0, -1], base.model(ids).logits[0, -1]
    target = parse_target(TARGET).bind(base.vocabulary, base.tokenizer)
    wanted = target.logits(before[None], [None])[0].log_softmax(-1)
    assert (own.log_softmax(-1) - wanted).abs().max() < 0.3 * (own - before).abs().max()
    label = find_label(str(tmp_path / "out"))[1]
    assert label.form == "model"
    assert [step.operation for step in label.chain][-2:] == ["tilt", "export"]
    assert label.chain[-1].by == "transformers"
    assert record.files == [f for f in files_of(tmp_path / "out") if f != "result.json"]
    assert (tmp_path / "out/model/README.md").read_text().count("tilted on purpose")


def test_vllm_gets_a_whole_model_an_adapter_or_the_target(lab, tmp_path):
    model = exported(lab / "edit", "vllm", tmp_path / "model")
    assert model.command.startswith(f"vllm serve {tmp_path / 'model' / 'model'} ")
    adapter = exported(lab / "edit", "vllm", tmp_path / "adapter", adapter=True)
    assert f"--lora-modules tilted={tmp_path / 'adapter' / 'adapter'}" in adapter.command
    assert "--max-lora-rank 8" in adapter.command
    config = json.loads((tmp_path / "adapter/adapter/adapter_config.json").read_text())
    assert config["target_modules"] == ["lm_head"]
    assert find_label(str(tmp_path / "adapter/adapter"))[1].form == "adapter"
    processor = exported(lab / "decode", "vllm", tmp_path / "processor", processor=True)
    assert find_label(str(tmp_path / "processor/target"))[1].form == "processor"
    told = processor.command.split("--additional-config '")[1].split("'")[0]
    assert json.loads(told) == {"tiltlm": {"label": str(tmp_path / "processor/target")}}


def test_what_is_tilted_by_decoding_alone_has_no_weights_to_write(lab, tmp_path):
    for engine in ("transformers", "vllm"):
        with pytest.raises(ConfigError, match="decoding alone"):
            exported(lab / "decode", engine, tmp_path / "out")
    with pytest.raises(ConfigError, match="no adapter"):
        exported(lab / "decode", "vllm", tmp_path / "out", adapter=True)
    assert not (tmp_path / "out").exists()


def test_what_vllm_would_not_take_is_refused_with_the_reason():
    plain = {"peft_type": "LORA", "r": 1}
    assert check_vllm_lora("LlamaForCausalLM", 49_152, plain, "x") == 8
    assert check_vllm_lora("LlamaForCausalLM", 49_152, {**plain, "r": 9}, "x") == 16
    for architecture, size, config, reason in (
        ("Gemma3ForCausalLM", 1_000, plain, "takes no LoRA on its head"),
        ("LlamaForCausalLM", 262_144, plain, "258,048"),
        ("LlamaForCausalLM", 1_000, {**plain, "use_dora": True}, "plain LoRA"),
        ("LlamaForCausalLM", 1_000, {**plain, "modules_to_save": ["x"]}, "modules_to_save"),
        ("LlamaForCausalLM", 1_000, {**plain, "r": 999}, "rank 999"),
    ):
        with pytest.raises(ConfigError, match=reason):
            check_vllm_lora(architecture, size, config, "x")
    with pytest.raises(ConfigError, match="embedding"):
        check_vllm_head("CohereForCausalLM")
    with pytest.raises(ConfigError, match="embedding"):
        check_gguf_head("gemma2", "x")


def test_few_biases_are_the_ones_that_move_most_and_it_is_said_what_they_cover(lab, tmp_path):
    every = exported(lab / "decode", "openai", tmp_path / "every", limit=1_000)
    few = exported(lab / "decode", "openai", tmp_path / "few", limit=20)
    assert every.biases.entries == every.biases.wanted > 20 == few.biases.entries
    assert every.biases.covered == pytest.approx(1.0)
    assert every.biases.gap_closed.gap_closed == pytest.approx(1.0, abs=1e-5)
    assert 0.2 < few.biases.covered < 1
    assert few.biases.gap_closed.gap_closed < every.biases.gap_closed.gap_closed
    written = json.loads((tmp_path / "few/logit_bias.json").read_text())
    assert set(written.values()) == {2.0}
    # Any other 20 cover less.
    whole_list = json.loads((tmp_path / "every/logit_bias.json").read_text())
    assert set(written) < set(whole_list)


def test_what_no_list_of_biases_can_say_is_refused(lab, tmp_path):
    options = {"target": "when('bado', tilt(contains('k'), 2))", "by": "decode"}
    run_tilt(recipe_of(str(lab / "base"), options | {"contexts": "own:40"}, {}), tmp_path / "when")
    with pytest.raises(TargetError, match="no fixed list"):
        exported(tmp_path / "when", "openai", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_of_another_engine_and_folders_without_a_label_are_refused(lab, tmp_path):
    with pytest.raises(ConfigError, match="vllm alone"):
        exported(lab / "edit", "ollama", tmp_path / "out", adapter=True)
    with pytest.raises(ConfigError, match="both"):
        exported(lab / "edit", "vllm", tmp_path / "out", adapter=True, processor=True)
    with pytest.raises(ConfigError, match="no label"):
        exported(lab / "base", "transformers", tmp_path / "out")
    with pytest.raises(ConfigError, match="nothing is written"):
        exported(lab / "edit", "abacus", tmp_path / "out")


def test_a_base_of_safetensors_is_given_to_llama_cpp_s_converter(lab, tmp_path):
    record = exported(lab / "edit", "ollama", tmp_path / "out", head="q8_0")
    assert record.command.startswith("python convert_hf_to_gguf.py")
    assert "--outtype q8_0" in record.command
    assert (tmp_path / "out/model/config.json").is_file()
    assert (tmp_path / "out/Modelfile").read_text().startswith("FROM ./model.gguf")


# GGUF.


@pytest.fixture(scope="module")
def gguf_base(tmp_path_factory):
    """A Llama with a tied head as a GGUF file: matrices of blocks in q8_0, norms in float32."""
    folder = tmp_path_factory.mktemp("gguf")
    loaded = tiny_loaded("llama_tied")
    write_gguf(folder / "base.gguf", loaded)
    return folder / "base.gguf"


def write_gguf(file, loaded):
    """Write a tiny Llama as llama.cpp's converter would."""
    config, state = loaded.model.config, loaded.model.state_dict()
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    names = json.loads(loaded.tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = sorted(names["vocab"], key=names["vocab"].get)
    vocabulary[0] = "<|endoftext|>"
    vocabulary += [f"<unused{i}>" for i in range(config.vocab_size - len(vocabulary))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] + [1] * (len(vocabulary) - 1))
    writer.add_token_merges([" ".join(pair) for pair in names["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for name, weight in state.items():
        if name == "lm_head.weight":
            continue
        new = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight":
               "output_norm.weight"}.get(name)  # fmt: skip
        if new is None:
            _, _, layer, rest = name.split(".", 3)
            new = f"blk.{layer}.{parts[rest.removesuffix('.weight')]}.weight"
        data = weight.numpy()
        for kind, heads in (("attn_q", 2), ("attn_k", 2)):
            if kind in new:  # the order of rotary halves, as the converter writes it
                data = data.reshape(heads, 2, -1, data.shape[1]).swapaxes(1, 2).reshape(data.shape)
        if data.ndim == 2 and "token" not in new and data.shape[1] % 32 == 0:
            from gguf.quants import quantize

            packed = quantize(np.ascontiguousarray(data), GGMLQuantizationType.Q8_0)
            writer.add_tensor(new, packed, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(new, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def gguf_tilted(gguf_base, tmp_path_factory):
    """Its tilt, by edit."""
    out = tmp_path_factory.mktemp("tilted") / "out"
    options = {"target": "tilt(contains('o'), 1)", "contexts": "own:40"}
    run_tilt(recipe_of(str(gguf_base), options, {}), out)
    return out


def digests(file):
    return {
        t.name: (t.tensor_type, hashlib.sha256(np.ascontiguousarray(t.data).tobytes()).hexdigest())
        for t in GGUFReader(file).tensors
    }


@pytest.mark.parametrize(("kind", "largest"), [("f16", 2e-3), ("q8_0", 0.05)])
def test_of_a_gguf_base_all_is_the_same_but_the_head(
    gguf_base, gguf_tilted, tmp_path, kind, largest
):
    record = exported(gguf_tilted, "llama.cpp", tmp_path / "out", head=kind)
    before, after = digests(gguf_base), digests(tmp_path / "out/model.gguf")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"output.weight"}
    assert record.identical_tensors == len(before)
    tensors = {t.name: t for t in GGUFReader(tmp_path / "out/model.gguf").tensors}
    head = tensors["output.weight"]
    exact = load(gguf_tilted / "model").model.get_output_embeddings().weight.detach()
    rounded = torch.from_numpy(dequantize(head.data, head.tensor_type).copy())
    assert rounded.shape == exact.shape
    assert (rounded - exact).abs().max() <= largest * exact.abs().max()
    own, written = record.gaps
    assert written.gap_closed <= own.gap_closed + 1e-3
    fields = GGUFReader(tmp_path / "out/model.gguf").fields
    base_fields = GGUFReader(gguf_base).fields
    for name, field in base_fields.items():
        if not name.startswith("GGUF."):
            assert fields[name].contents() == field.contents()
    assert fields["tiltlm.target"].contents() == "tilt(contains('o'), 1)"
    label = json.loads(fields["tiltlm.label"].contents())
    assert label["tilted_on_purpose"] is True
    assert find_label(str(tmp_path / "out"))[1].target == label["target"]


def test_a_gguf_file_that_was_written_loads_and_is_the_tilted_model(gguf_tilted, tmp_path):
    exported(gguf_tilted, "ollama", tmp_path / "out")
    assert "repeat_penalty 1" in (tmp_path / "out/Modelfile").read_text()
    again, tilted = load(tmp_path / "out/model.gguf"), load(gguf_tilted / "model")
    ids = torch.tensor([tilted.tokenizer(TEXT[:60])["input_ids"][:32]])
    with torch.no_grad():
        torch.testing.assert_close(
            again.model(ids).logits, tilted.model(ids).logits, atol=0.05, rtol=0.01
        )


def test_a_gguf_file_that_was_written_is_undone_by_its_label_to_the_base_s_bits(
    gguf_base, gguf_tilted, tmp_path
):
    exported(gguf_tilted, "llama.cpp", tmp_path / "out")
    base = load(gguf_base).model.state_dict()
    for number, named in enumerate(("out", "out/model.gguf")):
        options = UndoOptions(by="label")
        record = run_undo(str(tmp_path / named), tmp_path / f"undone{number}", None, options)
        assert record.restored.exact
        again = load(tmp_path / f"undone{number}" / "model").model.state_dict()
        assert all(torch.equal(again[name], base[name]) for name in base)
    # A label is one of the files that it lists; another file beside it is nobody's.
    shutil.copy(tmp_path / "out/model.gguf", tmp_path / "out/other.gguf")
    assert locate(str(tmp_path / "out/model.gguf"))[1] is not None
    assert locate(str(tmp_path / "out/other.gguf"))[1] is None


def damaged_truncated(data):
    return data[: len(data) * 2 // 3]


def damaged_type(data):
    # The type of a tensor stands after its name, its number of sides and these.
    at = data.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8
    return data[:at] + (250).to_bytes(4, "little") + data[at + 4 :]


def damaged_header(data):
    return b"GGML" + data[4:]


@pytest.mark.parametrize("damage", [damaged_truncated, damaged_type, damaged_header])
def test_a_damaged_gguf_base_is_one_error_and_leaves_nothing(
    gguf_base, gguf_tilted, tmp_path, damage, monkeypatch
):
    from tiltlm.serving.export.gguf_copy import open_gguf

    (tmp_path / "base.gguf").write_bytes(damage(gguf_base.read_bytes()))
    with pytest.raises(ModelError, match="GGUF"):
        open_gguf(tmp_path / "base.gguf")
    with pytest.raises(ModelError, match="GGUF"):
        exported(gguf_tilted, "llama.cpp", tmp_path / "out", base=str(tmp_path / "base.gguf"))
    assert [p.name for p in tmp_path.iterdir()] == ["base.gguf"]


def test_a_gguf_file_that_is_not_the_label_s_base_is_refused(gguf_tilted, tmp_path):
    other = tiny_loaded("llama_tied")
    with torch.no_grad():
        other.model.model.norm.weight[0] += 0.5
    write_gguf(tmp_path / "other.gguf", other)
    with pytest.raises(ModelError, match="another SHA-256"):
        exported(gguf_tilted, "llama.cpp", tmp_path / "out", base=str(tmp_path / "other.gguf"))
    assert not (tmp_path / "out").exists()


def test_a_model_of_which_more_than_the_head_was_changed_is_not_written_into_the_base(
    gguf_base, tmp_path
):
    options = {"target": "tilt(contains('o'), 1)", "contexts": "own:40", "by": "train"}
    training = {"steps": 2, "parameters": "body+head"}
    run_tilt(recipe_of(str(gguf_base), options, training), tmp_path / "trained")
    with pytest.raises(ModelError, match="more than the head"):
        exported(tmp_path / "trained", "llama.cpp", tmp_path / "out")


def test_a_full_disk_is_one_error_and_leaves_nothing(gguf_tilted, lab, tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gguf.GGUFWriter.write_tensor_data", full)
    monkeypatch.setattr(whole, "as_gpt2", full)
    for source, engine in ((gguf_tilted, "llama.cpp"), (lab / "edit", "vllm")):
        with pytest.raises(StorageError, match="disk is full"):
            exported(source, engine, tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == []


def test_the_command_prints_what_was_written_and_how_it_is_started(lab, tmp_path, tiltlm_command):
    out = tmp_path / "out"
    code, printed, _ = tiltlm_command("export", lab / "edit", "--for", "vllm", "--out", out)
    assert code == 0
    assert f"vllm serve {out / 'model'}" in printed
    code, _, told = tiltlm_command("export", lab / "edit", "--for", "vllm", "--out", out)
    assert code == 2
    assert "holds something already" in told
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    assert tokenizer("bado")["input_ids"]
    shutil.rmtree(out)
