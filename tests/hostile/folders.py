"""Folders that mean harm, made on the spot from tiny models, and what comes of opening one.

A mutation is a function of a folder and of a generator of random numbers, which changes one file of
the folder in place. `MUTATIONS` lists them by the kind of folder that they are for.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from tests.tiny import tiny_loaded
from tiltlm.auditing.claims import read_claim
from tiltlm.auditing.models import open_suspect
from tiltlm.errors import TiltError
from tiltlm.models.loading import load
from tiltlm.models.places import locate
from tiltlm.models.sampling import sample

Mutation = Callable[[Path, random.Random], None]

SECONDS = 10.0
"""What opening a folder may take at most."""


# The folders that are mutated.


def make_model(out: Path) -> None:
    """A tiny model with its tokenizer."""
    for part in tiny_loaded():
        part.save_pretrained(out)


def make_tilted(out: Path) -> None:
    """Its base, an adapter on it, and the same merged, each with its label."""
    from tiltlm.commands.tilt import run_tilt
    from tiltlm.recipes.tilt import recipe_of

    make_model(out / "base")
    options = {"target": "tilt(contains('o'), 2)", "contexts": "random"}
    run_tilt(recipe_of(str(out / "base"), options, {}), out / "adapter")
    run_tilt(recipe_of(str(out / "base"), {**options, "merge": True}, {}), out / "merged")
    run_tilt(recipe_of(str(out / "base"), {**options, "by": "decode"}, {}), out / "decoded")


def make_gguf(out: Path) -> None:
    """A tiny model as a GGUF file, ``out / "x.gguf"``."""
    import gguf

    loaded = tiny_loaded()
    out.mkdir(parents=True, exist_ok=True)
    config = loaded.model.config
    writer = gguf.GGUFWriter(out / "x.gguf", "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    backend = json.loads(loaded.tokenizer.backend_tokenizer.to_str())["model"]
    names = sorted(backend["vocab"], key=backend["vocab"].get)
    # Transformers adds this token where a file has none, and then there is a row too few.
    names += ["<|endoftext|>"]
    names += [f"<unused{i}>" for i in range(config.vocab_size - len(names))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(names)
    writer.add_token_types([3 if name.startswith("<") else 1 for name in names])
    writer.add_token_merges([" ".join(pair) for pair in backend["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in loaded.model.state_dict().items():
        writer.add_tensor(_gguf_name(name), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


_GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _gguf_name(name: str) -> str:
    for ours, theirs in _GGUF_NAMES.items():
        name = name.replace(ours, theirs)
    return name


# Values and texts that nobody expects.


def odd_value(rng: random.Random) -> Any:
    """A value that a config should not have."""
    return rng.choice(
        [
            None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 10**9, 10**12, 10**30, -(10**12), 0.5,
            1e308, float("nan"), float("inf"), "", "x", "../..", "/dev/zero", "/etc/hostname",
            "x" * 10_000, "\ud800", "\x00", "{{ 1/0 }}", [], [[]], [1], ["x"], {}, {"x": {}},
            {"type": "x"}, [None] * 50, list(range(999)), {str(i): i for i in range(999)},
        ]
    )  # fmt: skip


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with every key of it."""
    found = []
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    for key in keys:
        found.append((value, key))
        found += _places(value[key])
    return found


def mutate_json(file: Path, rng: random.Random, likely: dict[str, list[Any]]) -> None:
    """Change one to three places of a JSON file, and now and then its bytes.

    Args:
        file: changed in place.
        rng: of the choices.
        likely: for each key that matters, values to try besides odd ones.
    """
    if rng.random() < 0.15:
        mutate_bytes(file, rng)
        return
    data = json.loads(file.read_text(encoding="utf-8"))
    for _ in range(rng.randint(1, 3)):
        if likely and rng.random() < 0.6:
            key = rng.choice(sorted(likely))
            known = likely[key]
            data[key] = rng.choice(known) if known and rng.random() < 0.6 else odd_value(rng)
            continue
        places = _places(data)
        if not places:
            break
        # Small containers are met as often as large ones, of which a vocabulary is one.
        container = rng.choice(list({id(c): c for c, _ in places}.values()))
        key = rng.choice([k for c, k in places if c is container])
        how = rng.randrange(4)
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, dict):
            container[str(odd_value(rng))[:50]] = container[key]
        elif how == 2:
            container[key] = [container[key]]
        else:
            container[key] = odd_value(rng)
    file.write_text(json.dumps(data), encoding="utf-8")


def mutate_bytes(file: Path, rng: random.Random) -> None:
    """Damage a file: cut it off, flip bytes, put others in, or make it something else."""
    data = bytearray(file.read_bytes())
    how = rng.randrange(9)
    if how == 0:
        data = data[: rng.randrange(len(data) + 1)]
    elif how == 1:
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(min(len(data), 2_000))] = rng.randrange(256)
    elif how == 2:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == 3:
        at = rng.randrange(len(data) + 1)
        data[at:at] = rng.randbytes(rng.randint(1, 64))
    elif how == 4:
        data = bytearray(rng.choice([b"[", b'{"a":', b"("]) * 100_000)
    elif how == 5:
        data = bytearray(b"")
    elif how == 6:
        data = bytearray(b"\xff\xfe" + bytes(data[:200]).decode("latin-1").encode("utf-16"))
    elif how == 7:
        at = rng.randrange(min(len(data), 64))
        data[at : at + 8] = rng.choice([b"\xff" * 8, b"\x00" * 8, b"\xff" * 7 + b"\x7f"])
    else:
        data = bytearray(rng.choice([b"null", b"[]", b"{}", b'"x"', b"1e999", b"NaN"]))
    file.write_bytes(bytes(data))


# Mutations of a folder that holds a whole model.

_CONFIG = {
    "num_hidden_layers": [1, 3, 10**4, 10**9],
    "hidden_size": [31, 33, 64, 10**6],
    "vocab_size": [1, 300, 320, 10**9],
    "max_position_embeddings": [0, 1, 2, 10**18, "64"],
    "num_attention_heads": [0, 1, 3, 16, -2],
    "num_key_value_heads": [0, 1, 3],
    "head_dim": [0, 1, 15, 32],
    "intermediate_size": [0, 47, 10**10],
    "hidden_act": ["relu", "nothing", "swiglu"],
    "rms_norm_eps": [0, -1.0, 1e30],
    "rope_parameters": [
        {"rope_type": "yarn"}, {"rope_type": "dynamic", "factor": 0}, {"rope_theta": 0},
        {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1], "long_factor": []},
    ],
    "num_labels": [10**10],
    "attn_implementation": ["stranger/kernel", "flash_attention_2", "eager", "flex_attention"],
    "dtype": ["float16", "bfloat16", "int8", "float8_e4m3fn", "save", "nothing"],
    "quantization_config": [
        {"quant_method": "bitsandbytes", "load_in_4bit": True}, {"quant_method": "x"},
        {"quant_method": "gptq", "bits": 4}, {"quant_method": "fp8"},
    ],
    "model_type": ["gpt2", "gpt_neox", "qwen2", "mixtral", "deepseek_v3", "bert", "t5", "mamba",
                   "model5", "gemma3", "llava", "stranger", "mpt", "falcon", "gpt_neo", "bloom"],
    "architectures": [["GPT2LMHeadModel"], ["Stranger"], "LlamaForCausalLM"],
    "tie_word_embeddings": [True],
    "auto_map": [{"AutoConfig": "stranger.Config"}],
    "transformers_weights": ["../x.safetensors", "/dev/zero", "model.safetensors"],
    "layer_types": [["full_attention"], ["x", "y"], ["sliding_attention"] * 2],
    "sliding_window": [0, -1, 1],
    "attention_types": [[[["global"], 10**10]]],
    "is_encoder_decoder": [True],
    "n_layer": [10**10],
    "bos_token_id": [10**6, -5],
    "text_config": [{"num_labels": 10**10}, {"model_type": "llama", "num_hidden_layers": 10**10}],
}  # fmt: skip


def config(folder: Path, rng: random.Random) -> None:
    """Change ``config.json``."""
    mutate_json(folder / "config.json", rng, _CONFIG)


def generation_config(folder: Path, rng: random.Random) -> None:
    """Change ``generation_config.json``."""
    likely = {
        "temperature": [0, -1.0],
        "eos_token_id": [10**9, [-1], "x"],
        "max_new_tokens": [10**12],
        "suppress_tokens": [[10**9]],
        "custom_generate": ["stranger/code"],
        "forced_decoder_ids": [[[0, 10**9]]],
        "num_beams": [10**9],
        "cache_implementation": ["quantized", "x"],
    }
    mutate_json(folder / "generation_config.json", rng, likely)


def tokenizer(folder: Path, rng: random.Random) -> None:
    """Change ``tokenizer.json``."""
    likely = {
        "added_tokens": [
            [{"id": 10**9, "content": "z", "special": True, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False}],
            [{"id": 3}],
        ],
        "pre_tokenizer": [
            {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
             "invert": False},
            {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False},
            {"type": "Sequence", "pretokenizers": []},
        ],
        "normalizer": [{"type": "Replace", "pattern": {"String": ""}, "content": "x" * 999}],
        "post_processor": [{"type": "TemplateProcessing", "single": [], "pair": [],
                            "special_tokens": {}}],
        "decoder": [{"type": "Stranger"}, {"type": "WordPiece", "prefix": "", "cleanup": True}],
        "model": [
            {"type": "BPE", "vocab": {}, "merges": []},
            {"type": "Unigram", "unk_id": 9, "vocab": [["x", -1.0]]},
            {"type": "WordLevel", "vocab": {"<0xZZ>": 0, "x": 1}, "unk_token": "x"},
            {"type": "WordPiece", "vocab": {"x": 7}, "unk_token": "q",
             "continuing_subword_prefix": "", "max_input_chars_per_word": 0},
        ],
        "truncation": [{"direction": "Right", "max_length": 0, "strategy": "LongestFirst",
                        "stride": 9}],
        "padding": [{"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None,
                     "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}],
    }  # fmt: skip
    mutate_json(folder / "tokenizer.json", rng, likely)


def tokenizer_config(folder: Path, rng: random.Random) -> None:
    """Change ``tokenizer_config.json``."""
    likely = {
        "tokenizer_class": ["BertTokenizer", "T5Tokenizer", "GPT2Tokenizer", "LlamaTokenizer",
                            "ByT5Tokenizer", "PreTrainedTokenizerFast", "PythonBackend", "Stranger",
                            "CanineTokenizer", "AutoTokenizer"],
        "model_max_length": [0, -1],
        "added_tokens_decoder": [{"x": {"content": "y"}}, {"999999": {"content": "y"}}],
        "extra_special_tokens": [["y"] * 9, {"x": 1}],
        "chat_template": ["{% for m in messages %}", "{{ x }}", ["x"]],
        "tokenizer_file": ["/dev/zero", "/etc/hostname"],
        "vocab_file": ["/etc/hostname"],
        "bos_token": ["no such token", {"content": 3}],
        "eos_token": ["no such token", None],
        "padding_side": ["up"],
        "auto_map": [{"AutoTokenizer": ["stranger.Tokenizer", None]}],
        "fast_tokenizer_files": [["../tokenizer.9.json"], ["tokenizer.4.0.0.json"]],
        "backend": ["stranger", "sentencepiece", "mistral_common"],
    }  # fmt: skip
    mutate_json(folder / "tokenizer_config.json", rng, likely)


def weights(folder: Path, rng: random.Random, name: str = "model.safetensors") -> None:
    """Change the weights: names, shapes, types, values, or the bytes of the file."""
    file = folder / name
    if rng.random() < 0.35:
        mutate_bytes(file, rng)
        return
    tensors = dict(load_file(file))
    key = rng.choice(sorted(tensors))
    value = tensors.pop(key)
    how = rng.randrange(10)
    if how == 1:
        tensors[rng.choice([key + "x", "x" * 5_000, "../" + key, "", "\u202e" + key])] = value
    elif how == 2:
        tensors[key] = value[..., : max(0, value.shape[-1] - 1)]
    elif how == 3:
        tensors[key] = value[None]
    elif how == 4:
        tensors[key] = value.astype(rng.choice([np.int64, np.uint8, np.float64, np.float16]))
    elif how == 5:
        tensors[key] = np.full_like(value, rng.choice([np.nan, np.inf, -np.inf, 3e38, 0.0]))
    elif how == 6:
        value = value.copy()
        value.flat[rng.randrange(value.size)] = rng.choice([np.nan, np.inf, 1e38])
        tensors[key] = value
    elif how == 7:
        tensors[key] = value
        tensors["model.layers.9.mlp.up_proj.weight"] = value
    elif how == 8:
        tensors[key] = value.T if value.ndim == 2 else value.reshape(-1, 2)
    elif how == 9:
        tensors = {}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, file, {"format": "pt"})


def shards(folder: Path, rng: random.Random) -> None:
    """Weights in two files and an index that is not quite right."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    table = {}
    for number, file in enumerate(files):
        part = names[number::2]
        table |= dict.fromkeys(part, file)
        save_file({n: tensors[n] for n in part}, folder / file, {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))
    how = rng.randrange(5)
    if how == 0:
        (folder / rng.choice(files)).unlink()
    elif how == 1:
        table[names[0]] = rng.choice(["../x", "/dev/zero", "x" * 5_000, "", ".", files[1]])
        index.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    elif how == 2:
        mutate_json(index, rng, {"weight_map": [[], {"x": 1}], "metadata": []})
    elif how == 3:
        weights(folder, rng, rng.choice(files))


def places(folder: Path, rng: random.Random) -> None:
    """Something else where a file should be: a pipe, a device, a loop, a folder, nothing."""
    file = folder / rng.choice(sorted(path.name for path in folder.iterdir() if path.is_file()))
    file.unlink()
    how = rng.randrange(7)
    if how == 0:
        os.mkfifo(file)
    elif how == 1:
        file.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/dev/urandom", "/etc/hostname"]))
    elif how == 2:
        file.symlink_to(file.name)
    elif how == 3:
        file.mkdir()
    elif how == 4:
        file.symlink_to("../nowhere")
    elif how == 5:
        with file.open("wb") as stream:
            stream.truncate(200_000_000)
    if rng.random() < 0.3:
        torch.save({"x": torch.ones(1)}, folder / "pytorch_model.bin")
    if rng.random() < 0.2 and not os.path.lexists(folder / "adapter_config.json"):
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))


def label(folder: Path, rng: random.Random) -> None:
    """Change ``tilt.json``, wherever it lies."""
    likely = {
        "target": ["tilt(word(lines('/etc/hostname')), 1)", "x" * 10_000, "~" * 900 + "special()"],
        "events": [["contains('x')"] * 999, ["("], ["tokens(10**400)"]],
        "strengths": [[1e308], [], ["x"]],
        "by": ["decode"],
        "form": ["processor", "adapter"],
        "seed": [-1, 10**30],
        "base": [
            {"name": "x" * 10_000, "sha256": None}, {"name": "", "sha256": None},
            {"name": str(folder), "sha256": None}, {"name": "/dev/zero", "sha256": None},
            {"name": "model5", "sha256": None, "seed": -1, "config": {"n_layer": 10**9}},
            {"name": "model5", "sha256": None, "config": {"n_embd": "x"}},
            {"name": "model5", "sha256": None, "config": {"vocab_size": 10**12, "n_layer": 1}},
            {"name": "no/such", "sha256": "0"},
        ],
    }  # fmt: skip
    mutate_json(next(folder.rglob("tilt.json")), rng, likely)


# Mutations of a folder that holds an adapter; ``folder`` is that of ``tiltlm tilt``.


def adapter_config(folder: Path, rng: random.Random) -> None:
    """Change ``adapter_config.json``."""
    here = str(folder / "model")
    likely = {
        "r": [0, 2, 64, 10**9, -1],
        "lora_alpha": [0, 10**300, float("nan")],
        "target_modules": ["([a-z._]+)+x", "(", ".*", "all-linear", ["q_proj"], [], ["lm_head"],
                           "(a|a)*" * 20],
        "exclude_modules": [".*", "(", ["lm_head"]],
        "rank_pattern": [{"(.*)+x": 4}, {"lm_head": 10**9}, {"lm_head": 2}],
        "alpha_pattern": [{"(.*)+x": 4}, {"lm_head": "x"}],
        "layers_to_transform": [[0], 10**9, "x"],
        "layers_pattern": ["(a+)+", "layers"],
        "layer_replication": [[[0, 10**9]], [[0, 2], [0, 2]], [[5, 1]]],
        "peft_type": ["IA3", "PROMPT_TUNING", "ADALORA", "XLORA", "STRANGER", "OFT", "VERA",
                      "LN_TUNING", "POLY", "LOHA", "PREFIX_TUNING", "BOFT"],
        "task_type": ["SEQ_CLS", "STRANGER", None],
        "base_model_name_or_path": [here, str(folder), "model5", "no/such", "/dev/zero", "../.."],
        "use_dora": [True],
        "use_rslora": [True],
        "bias": ["all", "lora_only", "x"],
        "fan_in_fan_out": [True],
        "modules_to_save": [["lm_head"], "lm_head", ["x"]],
        "init_lora_weights": ["pissa", "eva", "olora", "loftq", "corda", "gaussian", "x"],
        "loftq_config": [{"loftq_bits": 4}],
        "megatron_config": [{"x": 1}],
        "megatron_core": ["antigravity", "this"],
        "trainable_token_indices": [[0], [10**9]],
        "target_parameters": [["lm_head.weight"], ["x"]],
        "inference_mode": [False],
    }  # fmt: skip
    mutate_json(folder / "model" / "adapter_config.json", rng, likely)


def adapter_weights(folder: Path, rng: random.Random) -> None:
    """Change the adapter's weights."""
    weights(folder / "model", rng, "adapter_model.safetensors")


def adapter_places(folder: Path, rng: random.Random) -> None:
    """Something else where a file of the adapter should be."""
    places(folder / "model", rng)


def gguf_bytes(folder: Path, rng: random.Random) -> None:
    """Damage a GGUF file, mostly in its head."""
    file = folder / "x.gguf"
    data = bytearray(file.read_bytes())
    how = rng.randrange(6)
    if how == 0:
        mutate_bytes(file, rng)
        return
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) if how == 1 else min(len(data), 9_000 if how < 4 else 700))
        if rng.random() < 0.5:
            data[at] = rng.randrange(256)
        else:
            data[at : at + 8] = rng.choice(
                [b"\xff" * 8, b"\x00" * 8, (2**40).to_bytes(8, "little"), b"\xff\xff\xff\x7f"]
            )
    file.write_bytes(bytes(data))


MUTATIONS: dict[str, dict[str, Mutation]] = {
    "base": {
        "config": config,
        "generation_config": generation_config,
        "tokenizer": tokenizer,
        "tokenizer_config": tokenizer_config,
        "weights": weights,
        "shards": shards,
        "places": places,
    },
    "adapter": {
        "adapter_config": adapter_config,
        "adapter_weights": adapter_weights,
        "adapter_places": adapter_places,
        "label": label,
    },
    "merged": {"label": label},
    "decoded": {"label": label},
    "gguf": {"gguf_bytes": gguf_bytes},
}
"""Mutations, by the kind of folder that each is for."""


def make_originals(out: Path) -> None:
    """A folder of every kind in `MUTATIONS`.

    Args:
        out: new; the adapter names its base by this path.
    """
    make_tilted(out)
    make_gguf(out / "gguf")


def hostile_folder(originals: Path, out: Path, kind: str, mutation: str, seed: int) -> str:
    """A folder of one kind with one mutation.

    Args:
        originals: from `make_originals`.
        out: where to make it; what is there is removed.
        kind: of the folder.
        mutation: its name.
        seed: of what is changed.

    Returns:
        the name under which it is opened.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(originals / kind, out)
    MUTATIONS[kind][mutation](out, random.Random(f"{kind} {mutation} {seed}"))
    return str(out / "x.gguf" if kind == "gguf" else out)


def open_hostile(name: str, reference: Path | None = None) -> str:
    """Open a model as commands do, and use it.

    Args:
        name: of a folder or file.
        reference: given, the model is opened as a suspect beside it, too.

    Returns:
        ``used``, or the message of the one error.

    Raises:
        Exception: of any other kind, which is a hole; or it took more than `SECONDS`.
    """
    began = time.monotonic()
    try:
        said = _use(name)
        if reference is not None:
            pair = open_suspect(name, str(reference))
            assert pair.base is not pair.model
    except TiltError as error:
        said = str(error)
    taken = time.monotonic() - began
    assert taken < SECONDS, f"it took {taken:.1f} s: {said}"
    return said


def _use(name: str) -> str:
    folder, _, _ = locate(name)
    read_claim(name)
    loaded = load(folder)
    assert len(loaded.vocabulary)
    drawn = sample(loaded.model, torch.zeros((1, 1), dtype=torch.long), 3)
    assert drawn.shape == (1, 3)
    return "used"
