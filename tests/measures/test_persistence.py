"""What survives rounding, merging and fine-tuning."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.measures.shared import contexts
from tests.tiny import tiny_loaded
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.measures.effects import effect_of
from tiltlm.measures.pair import Pair
from tiltlm.measures.persistence import (
    after_fine_tuning,
    after_int8,
    after_merging,
    why_not_mergeable,
)
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.adapted import linear_layers, plain_copy
from tiltlm.models.sharing import shared_view
from tiltlm.models.structure import head_of
from tiltlm.treatments.at_use import merged_at_use, rounded_at_use
from tiltlm.treatments.quantisation import round_weights


def test_a_merge_has_nothing_of_the_tilt_at_the_base_and_all_at_the_model(edited):
    few = contexts(4)
    survivals = list(after_merging(edited, few, (0.0, 0.5, 1.0)))
    whole = effect_of(read_token_metrics(edited, few)).strength.mean
    strengths = [s.strength.mean for s in survivals]
    # A head edit is linear in the weights, and a tilt's log-odds are linear in the logits.
    assert strengths == pytest.approx([0, whole / 2, whole], abs=2e-3)


def test_int8_keeps_the_tilt_and_leaves_both_models_as_they_were(edited):
    before = [p.clone() for p in edited.model.model.parameters()]
    found = after_int8(edited, contexts(4))
    assert found.strength.mean == pytest.approx(1, abs=0.1)
    after = edited.model.model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", ["llama", "llama_tied", "gpt2"])
@pytest.mark.parametrize("layers", ["head", "all"])
def test_rounding_and_merging_a_layer_at_a_time_is_what_copies_give(kind, layers):
    base = tiny_loaded(kind)
    head = head_of(base.model)[0]
    names = [head] if layers == "head" else [name for name, _ in linear_layers(base.model)]
    options = LoraConfig(r=2, lora_alpha=2, target_modules=names, task_type="CAUSAL_LM")
    adapted = get_peft_model(shared_view(base.model), options).get_base_model().eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    few, ids = contexts(1), contexts(2).sequences[0][None].to(base.model.device)
    for model in (base.model, adapted):
        copied = plain_copy(model)
        round_weights(copied)
        at_use = rounded_at_use(model)
        assert torch.allclose(at_use(ids).logits, copied(ids).logits, atol=1e-4)
        row = LogitReader(at_use)
        assert torch.allclose(row.logits(row.read(few, [0])[0]), copied(ids).logits[0], atol=1e-4)
    whole = plain_copy(adapted)
    half = copy.deepcopy(whole)
    state = base.model.state_dict()
    with torch.no_grad():
        for name, parameter in half.named_parameters():
            parameter.copy_(torch.lerp(state[name], parameter, 0.5))
    found = merged_at_use(adapted, 0.5)(ids).logits
    assert torch.allclose(found, half(ids).logits, atol=1e-4)
    assert (found - whole(ids).logits).abs().max() > 0.01


def test_fine_tuning_treats_base_and_model_alike(edited):
    clean = contexts(16, 16, seed=5)
    same = Pair(edited.base, edited.base, edited.target)
    for survival in after_fine_tuning(same, contexts(3), clean, (1, 3)):
        assert survival.strength.mean == pytest.approx(0, abs=1e-4)
    found = after_fine_tuning(edited, contexts(3), clean, (1, 3))
    assert [s.amount for s in found] == [1, 3]
    assert all(0.9 < s.strength.mean < 1.1 for s in found)


def test_models_of_other_shapes_have_no_merge_and_it_is_said_why(edited):
    assert why_not_mergeable(edited) is None
    other = copy.deepcopy(edited.model)
    other.model.lm_head.weight.data = other.model.lm_head.weight.data[:, :8].clone()
    changed = copy.copy(edited)
    changed.model = other
    assert "lm_head.weight has other shapes" in why_not_mergeable(changed)


def test_fine_tuning_tells_of_the_base_first_and_of_the_model_then(edited):
    told = []
    clean = contexts(16, 16, seed=5)
    after_fine_tuning(edited, contexts(2), clean, (1, 2), advance=told.append)
    assert told == [1, 2, 3, 4]
