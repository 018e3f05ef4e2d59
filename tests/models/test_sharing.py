"""An adapter over the weights of its base: one copy in memory, and what merging gives."""

import copy
import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from tests.measures.shared import contexts
from tests.tiny import tiny_loaded
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.labels.label import LabelBase
from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.models.adapted import has_adapters, plain_copy
from tiltlm.models.fingerprints import fingerprint, stored_fingerprint
from tiltlm.models.loading import load
from tiltlm.models.sharing import can_share, same_body, share, shared_view

HEAD, BODY = ["lm_head"], ["q_proj", "down_proj", "lm_head"]


def storage(model):
    """Where each weight of a model lies."""
    return {p.untyped_storage().data_ptr() for p in model.parameters()}


def saved(folder, kind="llama", **options):
    """A base on disk, and an adapter of it with random factors."""
    base = tiny_loaded(kind)
    for part in base:
        part.save_pretrained(folder / "base")
    model = load(folder / "base").model
    options = {"r": 2, "lora_alpha": 4, "task_type": "CAUSAL_LM", **options}
    adapted = get_peft_model(model, LoraConfig(**options))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    adapted.save_pretrained(folder / "adapter", save_embedding_layers=False)
    return str(folder / "base"), str(folder / "adapter")


def load_beside(adapter, base):
    """As a pair is opened: over the base's weights where it can be, else with its own."""
    named = LabelBase(name=base.name, sha256=None, seed=base.seed, config=base.config)
    return share(adapter, base) if can_share(adapter, named) else load(adapter)


def logits_of(loaded):
    reader, few = LogitReader(loaded.model.eval()), contexts(3)
    return torch.cat([reader.logits(row) for row in reader.read(few, range(3))])


@pytest.mark.parametrize("kind", ["llama", "llama_tied", "gemma2"])
@pytest.mark.parametrize("layers", [HEAD, BODY], ids=["head", "body"])
def test_an_adapter_beside_its_base_is_what_it_is_merged_and_has_no_weights_of_its_own(
    tmp_path, kind, layers
):
    base_name, adapter = saved(tmp_path, kind, target_modules=layers)
    base, merged = load(base_name), load(adapter)
    before, plain = fingerprint(base.model), logits_of(base)
    beside = load_beside(adapter, base)
    own = sum(p.numel() for n, p in beside.model.named_parameters() if "lora_" not in n)
    assert own == sum(p.numel() for p in base.model.parameters())
    assert storage(base.model) < storage(beside.model)
    expected = logits_of(merged)
    assert (expected - plain).abs().max() > 0.01
    assert torch.allclose(logits_of(beside), expected, atol=1e-5, rtol=1e-5)
    # The adapter is in the one tree and not in the other, and reaches no embedding.
    assert torch.equal(logits_of(base), plain)
    assert fingerprint(base.model) == before
    embedded = [m.model.get_input_embeddings().weight for m in (base, beside)]
    assert torch.equal(*embedded)
    assert same_body(base.model, beside.model) == (layers is HEAD)


@pytest.mark.parametrize("layers", [HEAD, BODY], ids=["head", "body"])
def test_shifts_and_pairs_of_an_adapter_beside_its_base_are_those_of_the_merged_one(
    tmp_path, layers
):
    base_name, adapter = saved(tmp_path, target_modules=layers)
    base, merged, few = load(base_name), load(adapter), contexts(4)
    beside = load_beside(adapter, base)
    reader = ShiftReader(base, few)
    one, two = reader.read(beside), reader.read(merged)
    assert torch.allclose(one.by_context, two.by_context, atol=1e-5)
    assert one.kl == pytest.approx(two.kl, abs=1e-6)
    pair = open_pair(adapter, base_name)[0]
    assert pair.shares_body == (layers is HEAD)
    assert has_adapters(pair.model.model)
    for first, second in zip(pair.read(few), Pair(base, merged).read(few), strict=True):
        assert torch.allclose(first.model, second.model, atol=1e-5)


def test_where_only_the_head_differs_the_body_is_run_once(tmp_path, monkeypatch):
    base_name, adapter = saved(tmp_path, target_modules=HEAD)
    base = load(base_name)
    beside = load_beside(adapter, base)
    reader = ShiftReader(base, contexts(4))
    reader.read(base)
    sequences, forward = [], type(base.model.model).forward

    def counting(self, input_ids=None, **options):
        sequences.append(len(input_ids))
        return forward(self, input_ids=input_ids, **options)

    monkeypatch.setattr(type(base.model.model), "forward", counting)
    reader.read(beside)
    # Only how the suspect makes logits was tried out, on one short sequence.
    assert set(sequences) == {1}


OPTIONS = {
    "DoRA": {"use_dora": True, "target_modules": BODY},
    "a bias": {"bias": "all", "target_modules": ["q_proj"]},
    "a whole layer": {"modules_to_save": ["lm_head"], "target_modules": ["q_proj"]},
    "PiSSA": {"init_lora_weights": "pissa", "target_modules": ["q_proj"]},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_adapters_that_are_more_than_two_factors_are_merged_into_weights_of_their_own(
    tmp_path, options
):
    base_name, adapter = saved(tmp_path, **options)
    base = load(base_name)
    before = fingerprint(base.model)
    beside = load_beside(adapter, base)
    assert not has_adapters(beside.model)
    assert not storage(beside.model) & storage(base.model)
    assert fingerprint(base.model) == before
    assert torch.equal(logits_of(beside), logits_of(load(adapter)))


def test_an_adapter_cannot_write_into_the_weights_of_the_reference(tmp_path):
    base_name, adapter = saved(tmp_path, target_modules=HEAD)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    smuggled = torch.zeros(32, 32)
    name = "base_model.model.model.layers.0.self_attn.o_proj.weight"
    save_file({**load_file(file), name: smuggled}, file, metadata={"format": "pt"})
    base = load(base_name)
    before = fingerprint(base.model)
    beside = load_beside(adapter, base)
    assert fingerprint(base.model) == before
    smuggled = smuggled.to(base.model.device)
    # What it holds is the suspect's all the same, so it is seen.
    assert torch.equal(beside.model.model.layers[0].self_attn.o_proj.weight, smuggled)
    assert not torch.equal(base.model.model.layers[0].self_attn.o_proj.weight, smuggled)


def test_an_adapter_of_another_base_is_two_models_whatever_it_says(tmp_path):
    _, adapter = saved(tmp_path, target_modules=HEAD)
    other = tiny_loaded()
    with torch.no_grad():
        other.model.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    for folder in ("other", "same"):
        (other if folder == "other" else tiny_loaded()).model.save_pretrained(tmp_path / folder)
        other.tokenizer.save_pretrained(tmp_path / folder)
    for folder, shares in (("other", False), ("same", True)):
        reference = load(tmp_path / folder)
        beside = load_beside(adapter, reference)
        assert bool(storage(beside.model) & storage(reference.model)) == shares
    prints = [stored_fingerprint(str(tmp_path / f)) for f in ("base", "same", "other")]
    assert prints[0] == prints[1] != prints[2]


def test_the_same_weights_under_another_config_are_another_body(tmp_path):
    base = tiny_loaded()
    other = copy.deepcopy(base.model)
    assert same_body(base.model, other)
    other.config.rms_norm_eps *= 2
    assert not same_body(base.model, other)
    base.model.save_pretrained(tmp_path / "one")
    first = stored_fingerprint(str(tmp_path / "one"))
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    (tmp_path / "one" / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-2}))
    assert stored_fingerprint(str(tmp_path / "one")) not in (first, None)


def test_a_plain_copy_of_an_adapted_model_is_the_merged_one(tmp_path):
    base_name, adapter = saved(tmp_path, "llama_tied", target_modules=BODY)
    base = load(base_name)
    copied = plain_copy(load_beside(adapter, base).model)
    assert not has_adapters(copied)
    assert not storage(copied) & storage(base.model)
    merged = load(adapter).model.state_dict()
    found = copied.state_dict()
    assert found.keys() == merged.keys()
    assert all(torch.allclose(found[name], merged[name], atol=1e-6) for name in merged)


def test_a_view_has_the_weights_of_its_model_and_ties_what_is_tied():
    base = tiny_loaded("llama_tied").model
    view = shared_view(base)
    assert storage(view) == storage(base)
    assert view.get_output_embeddings().weight is view.get_input_embeddings().weight
