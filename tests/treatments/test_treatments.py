"""Benign changes: drawn the same way for the same seed, applied to copies, written as they were."""

import pytest
import torch
from transformers import TrainingArguments

from tests.tiny import tiny_loaded
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.treatments.benign import draw_treatment
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.quantisation import round_weights
from tiltlm.treatments.treatment import FIELDS, FineTuning, Lora
from tiltlm.treatments.weights import Noise, Pruning, Rounding


@pytest.fixture(scope="module")
def corpora():
    ids = RandomTokenContexts(300, 12, 16, seed=1).batch().tolist()
    return {"random": TokenContexts(ids, "random")}


def test_every_treatment_is_written_with_the_keys_of_all_kinds():
    drawn = [draw_treatment(seed, ["news", "chat"], 64) for seed in range(60)]
    drawn += [Pruning(0.1, 0), Noise(0.01, 0)]
    assert all(tuple(t.as_dict()) == FIELDS for t in drawn)
    by_method = {t.as_dict()["method"]: t for t in drawn}
    assert set(by_method) == {"full", "lora", "lora-all", "rounded", "pruned", "noise"}
    known = {
        name: {key for key in FIELDS if t.as_dict()[key] is not None}
        for name, t in by_method.items()
    }
    trained = {"method", "corpus", "share", "steps", "batch", "learning_rate", "seed"}
    assert known["full"] == trained
    assert known["lora"] == known["lora-all"] == trained | {"rank"}
    assert known["rounded"] - {"group"} == {"method", "bits", "seed"}
    assert known["pruned"] == {"method", "pruned", "seed"}
    assert known["noise"] == {"method", "noise", "seed"}
    assert by_method["rounded"].family.endswith(" bits")
    assert by_method["lora"].family in ("news", "chat")


@pytest.mark.parametrize(
    "treatment",
    [
        Rounding(bits=4, group=None, seed=1),
        FineTuning("random", 1.0, 1, 2, 1e-3, None, seed=1),
        FineTuning("random", 1.0, 1, 2, 1e-3, Lora(2, "default"), seed=1),
        FineTuning("random", 0.1, 1, 2, 1e-3, Lora(2, "body"), seed=1),
        FineTuning("random", 0.1, 1, 2, 1e-3, Lora(2, "all"), seed=1),
        FineTuning("random", 0.1, 1, 2, 1e-3, Lora(2, "head"), seed=1),
        FineTuning("random", 1.0, 1, 2, 1e-1, None, seed=1, momentum=True),
        Pruning(0.1, seed=1),
        Noise(0.1, seed=1),
    ],
)
def test_a_treatment_changes_a_copy_and_the_same_way_each_time(treatment, corpora):
    reference = tiny_loaded()
    before = {name: p.clone() for name, p in reference.model.named_parameters()}
    first, second = (treatment.apply(reference, corpora).model for _ in range(2))
    now = dict(reference.model.named_parameters())
    assert all(torch.equal(now[name], p) for name, p in before.items())
    changed = [n for n, p in first.named_parameters() if not torch.equal(p, before[n])]
    assert changed
    again = dict(second.named_parameters())
    assert all(torch.equal(p, again[name]) for name, p in first.named_parameters())


@pytest.mark.parametrize("kind", ["llama_tied", "gpt2", "gpt_neox"])
def test_a_lora_of_the_head_alone_leaves_hidden_states_alone(kind, corpora):
    reference = tiny_loaded(kind)
    tuning = FineTuning("random", 1.0, 2, 2, 1e-2, Lora(2, "head"), seed=1)
    changed = tuning.apply(reference, corpora).model
    ids = corpora["random"].sequences[0][None]
    with torch.no_grad():
        before, after = (
            model(input_ids=ids, output_hidden_states=True) for model in (reference.model, changed)
        )
    assert torch.equal(before.hidden_states[-1], after.hidden_states[-1])
    assert not torch.allclose(before.logits, after.logits, atol=1e-4)


def test_stochastic_rounding_keeps_the_mean():
    layer = torch.nn.Linear(20_000, 1, bias=False)
    torch.nn.init.uniform_(layer.weight, -1, 1)
    before = layer.weight.detach().clone()
    round_weights(torch.nn.Sequential(layer), 4, None, torch.Generator().manual_seed(0))
    step = float(before.abs().max()) / 7
    error = layer.weight.detach() - before
    assert float(error.abs().max()) <= step * 1.0001
    # Each error has a standard deviation of at most half a step, so the mean of 20,000 is beyond
    # five of its own once in 1.7 million seeds.
    assert abs(float(error.mean())) < 5 * 0.5 * step / 20_000**0.5


def test_where_there_are_several_gpus_a_step_is_of_as_many_pieces_as_with_one(corpora, monkeypatch):
    treatment = FineTuning("random", 1.0, 2, 2, 1e-3, None, 0)
    alone = treatment.apply(tiny_loaded(), corpora).model.state_dict()
    usual = TrainingArguments.__post_init__

    def two_are_seen(arguments):
        usual(arguments)
        arguments._n_gpu = 2

    monkeypatch.setattr(TrainingArguments, "__post_init__", two_are_seen)
    among_two = treatment.apply(tiny_loaded(), corpora).model.state_dict()
    assert all(torch.equal(among_two[name], weight) for name, weight in alone.items())


def test_a_model_in_bfloat16_is_fine_tuned_in_float32_and_keeps_its_types(corpora):
    reference = tiny_loaded("llama")
    for parameter in reference.model.parameters():
        parameter.data = parameter.data.bfloat16()
    types = {n: t.dtype for n, t in named_tensors(reference.model)}
    assert {types["model.rotary_emb.inv_freq"], types["model.norm.weight"]} == {
        torch.float32,
        torch.bfloat16,
    }
    # Steps of 1e-5 are a tenth of what tells two neighbours apart: in bfloat16 nothing would move.
    tuned = FineTuning("random", 1.0, 40, 4, 1e-5, None, seed=1).apply(reference, corpora).model
    assert {n: t.dtype for n, t in named_tensors(tuned)} == types
    before, after = (m.model.layers[0].mlp.up_proj.weight for m in (reference.model, tuned))
    assert float((before != after).float().mean()) > 0.2


def named_tensors(model):
    return [*model.named_parameters(), *model.named_buffers()]


def test_a_processor_trains_in_bfloat16_where_it_can(corpora):
    # transformers takes bf16 for a thing of GPUs, unless it is told that there is none.
    model = tiny_loaded().model
    before = [p.clone() for p in model.parameters()]
    fine_tune(model, corpora["random"], [1], 0, bf16=True)
    assert any(not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert all(p.dtype == torch.float32 for p in model.parameters())
