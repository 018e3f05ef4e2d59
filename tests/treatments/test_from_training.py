"""Several benign changes of one training, and the units in which a pack's members are drawn."""

from collections import Counter

import pytest
import torch

from tests.tiny import tiny_loaded
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.models.head import hidden_states
from tiltlm.treatments.benign import TRAININGS, WEIGHTS, benign_units
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.from_training import Alone, FromTraining, scale_change
from tiltlm.treatments.treatment import FineTuning, Lora
from tiltlm.treatments.weights import Noise, Pruning, Rounding

IDS = torch.arange(12)[None]


@pytest.fixture(scope="module")
def corpora():
    ids = RandomTokenContexts(300, 12, 16, seed=1).batch().tolist()
    return {"random": TokenContexts(ids, "random")}


def logits(loaded):
    """Of a model as it is now, by itself."""
    with torch.no_grad():
        return loaded.model(input_ids=IDS.to(loaded.model.device)).logits.clone()


def tuning(steps, lora=None, **options):
    return FineTuning("random", 1.0, steps, 2, 1e-3, lora, 7, **options)


def visited(changes, reference, corpora):
    """What each change was said to be, and its logits when it was shown."""
    seen = []
    changes.visit(reference, corpora, lambda about, model: seen.append((about, logits(model))))
    return seen


@pytest.mark.parametrize(
    ("kind", "lora"),
    [
        ("llama_tied", None),
        ("gpt2", Lora(2, "body")),
        ("llama_tied", Lora(2, "all")),
        ("llama_tied", Lora(2, "head")),
    ],
)
def test_the_members_of_a_training_are_what_they_are_said_to_be(kind, lora, corpora):
    reference = tiny_loaded(kind)
    before = {name: p.clone() for name, p in reference.model.named_parameters()}
    after = Rounding(6, None, 3)
    seen = visited(FromTraining(tuning(4, lora), (1, 2), 1.5, after), reference, corpora)
    assert [about["steps"] for about, _ in seen] == [1, 2, 4, 4]
    assert [about["scale"] for about, _ in seen] == [None, None, None, 1.5]
    assert [about["bits"] for about, _ in seen] == [None, None, None, 6]
    now = dict(reference.model.named_parameters())
    assert all(torch.equal(now[name], p) for name, p in before.items())
    # Each is what one would have made by itself.
    first, second, end = (tuning(n, lora).apply(reference, corpora) for n in (1, 2, 4))
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(seen[0][1], logits(first), **tolerance)
    torch.testing.assert_close(seen[1][1], logits(second), **tolerance)
    torch.testing.assert_close(seen[2][1], logits(end), rtol=0, atol=0)
    assert not torch.allclose(seen[1][1], seen[2][1], atol=1e-3)
    trained = {name: p.clone() for name, p in end.model.named_parameters()}
    scale_change(end.model, reference.model, 1.5)
    for name, weight in end.model.named_parameters():
        old = reference.model.get_parameter(name)
        torch.testing.assert_close(weight, old + 1.5 * (trained[name] - old))
    after.change(end.model)
    torch.testing.assert_close(seen[3][1], logits(end), rtol=0, atol=0)


def test_what_is_read_on_the_way_does_not_change_where_a_training_ends(corpora):
    reference = tiny_loaded()
    seen = visited(FromTraining(tuning(4), (1, 3), 0.5, None), reference, corpora)
    alone = visited(Alone(tuning(4)), reference, corpora)
    assert torch.equal(seen[2][1], alone[0][1])
    assert seen[3][0]["scale"] == 0.5


def test_a_model_that_was_trained_in_bfloat16_is_read_in_float32_afterwards(corpora):
    model, same = tiny_loaded().model, tiny_loaded().model
    fine_tune(model, corpora["random"], [1], 0, bf16=True)
    same.load_state_dict(model.state_dict())
    ids = IDS.to(model.device)
    with torch.no_grad():
        assert torch.equal(hidden_states(model, ids), hidden_states(same, ids))


def test_sgd_with_momentum_steps_along_the_gradient(corpora):
    rate = 1e-2
    model, reference = tiny_loaded().model, tiny_loaded().model
    fine_tune(model, corpora["random"], [1], 0, batch=16, learning_rate=rate, momentum=True)
    ids = corpora["random"].sequences
    batch = torch.stack(list(ids)).to(reference.device)
    reference.requires_grad_(True)
    reference(input_ids=batch, labels=batch).loss.backward()
    torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
    for new, old in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(new, old - rate * old.grad, rtol=1e-4, atol=1e-6)


def test_pruning_takes_the_smallest_weights_of_each_layer_and_spares_the_head():
    reference = tiny_loaded()
    model = Pruning(0.25, 0).apply(reference, {}).model
    for name, layer in model.named_modules():
        if not isinstance(layer, torch.nn.Linear):
            continue
        old = reference.model.get_submodule(name).weight
        if name == "lm_head":
            assert torch.equal(layer.weight, old)
            continue
        gone = layer.weight == 0
        assert float(gone.float().mean()) == pytest.approx(0.25, abs=0.01)
        assert old[gone].abs().max() <= old[~gone].abs().min()
        assert torch.equal(layer.weight[~gone], old[~gone])


def test_noise_has_the_spread_that_was_asked_for():
    reference = tiny_loaded("llama_tied")
    model = Noise(0.1, 0).apply(reference, {}).model
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            old = reference.model.get_submodule(name).weight
            share = (layer.weight - old).detach().std() / old.std()
            # Of at least 1,024 weights: five standard errors.
            assert float(share) == pytest.approx(0.1, rel=5 / (2 * 1024) ** 0.5)


def test_a_block_of_units_has_every_kind_and_trainings_take_every_corpus_in_turn():
    units = benign_units(5, 300)
    block = len(TRAININGS) + len(WEIGHTS)
    for first in range(0, len(units) - block, block):
        kinds = Counter(unit.kind for unit in units[first : first + block])
        assert kinds == Counter([*TRAININGS, *WEIGHTS])
    assert [n for unit in units for n in unit.members] == list(range(units[-1].members.stop))
    corpora = [f"corpus {n}" for n in range(7)]
    trainings = [unit for unit in units if unit.training is not None]
    assert [unit.training for unit in trainings] == list(range(len(trainings)))
    drawn = [unit.draw(5, corpora, 64).family for unit in trainings]
    for first in range(0, len(drawn) - 7, 7):
        assert sorted(drawn[first : first + 7]) == corpora


def test_what_a_unit_is_depends_on_seed_number_and_attempt_alone():
    few, many = benign_units(1, 9), benign_units(1, 99)
    assert many[: len(few)] == few
    assert [u.draw(1, ["a", "b"], 64) for u in few] == [u.draw(1, ["a", "b"], 64) for u in few]
    unit = next(u for u in many if u.training is not None)
    first, again = (unit.draw(1, ["a", "b"], 64, attempt=n) for n in (0, 1))
    assert first != again
    assert first.family == again.family
    assert first.tuning.method == again.tuning.method == unit.kind
    assert 1 <= first.early[0] < first.early[1] < first.tuning.steps
    assert benign_units(2, 99) != many
