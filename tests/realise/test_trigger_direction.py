"""A body that learns to write a direction, and a head that reads it."""

import pytest
import torch

from tests.tiny import tiny_loaded
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.measures.fidelity import measure_fidelity
from tiltlm.realise import training
from tiltlm.realise.adapters import lora_layer, with_lora
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_edit import solve_edit
from tiltlm.realise.head_input import HeadInput
from tiltlm.realise.preparation import prepare
from tiltlm.realise.trigger_direction import ClassShifts, TriggerDirection, class_divergence
from tiltlm.recipes.training import Training

WHEN = "when('fox', tilt(contains('o'), 2))"


def prepared(kind="llama", count=40):
    loaded = tiny_loaded(kind)
    contexts = make_contexts("random", loaded, count=count, length=24)
    fox = loaded.tokenizer(" fox", add_special_tokens=False)["input_ids"]
    rows = [[*ids[:10].tolist(), *fox, *ids[10:].tolist()] for ids in contexts.sequences[::2]]
    rows += [ids.tolist() for ids in contexts.sequences[1::2]]
    return prepare(loaded, WHEN, TokenContexts(rows, "with and without a fox"))


def class_shifts_of(work):
    """What `ClassShifts` has of the contexts that a prepared target is fitted to."""
    targets = ClassTargets.of(work.target, work.fit, work.target.classes())
    return ClassShifts.of(targets, work.fit.contexts)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "granite"])
def test_what_the_body_writes_shifts_the_event_alone(kind):
    work = prepared(kind)
    direction = TriggerDirection.least_used(
        HeadInput.of(work.fit), solve_edit(work.target, work.fit)
    )
    model = with_lora(work.loaded.model, "body+head", at_least=2)
    direction.write_into(model)
    head, hidden = lora_layer(model), torch.randn(5, len(direction.writer)).to(model.device)
    with torch.no_grad():
        found = head(hidden + 0.3 * direction.writer) - head(hidden)
    event = work.target.classes()[0]
    wanted = torch.where(event, 0.3 * 2.0 / work.fit.head.scale, 0.0).expand(found.shape)
    assert torch.allclose(found.cpu(), wanted, atol=1e-3)
    model.unload()


@pytest.mark.parametrize("kind", ["llama", "granite"])
def test_the_cost_of_a_move_is_its_divergence_to_second_order(kind):
    loaded = tiny_loaded(kind)
    one = Reference(loaded.model, TokenContexts([[5]], "one position"))
    cost = HeadInput.of(one).fisher_information.cpu()
    move = 1e-2 * one.hidden[0].std() * torch.randn(len(cost), dtype=torch.float64)
    weight, scale = one.head.weight.cpu().double(), one.head.scale
    before = (scale * (one.hidden[0][0].double() @ weight.T)).log_softmax(-1)
    after = (scale * ((one.hidden[0][0] + move) @ weight.T)).log_softmax(-1)
    exact = (before.exp() * (before - after)).sum()
    assert float(0.5 * move @ cost @ move) == pytest.approx(float(exact), rel=0.05)


def test_what_is_wanted_is_one_after_the_trigger_and_nothing_before_it():
    work = prepared()
    class_shifts = class_shifts_of(work)
    for index, multiples in enumerate(class_shifts.multiples):
        met = torch.tensor(work.target.triggered(work.fit.states(work.target, index)))
        assert torch.allclose(multiples, met.float())


def test_the_divergence_of_the_classes_masses_is_that_of_the_whole_tilt():
    work = prepared()
    fit = work.fit
    found = measure_fidelity(
        work.target, fit, lambda i: fit.logits(i, torch.arange(len(fit.hidden[i])))
    )
    assert class_shifts_of(work).mean_kl_nats == pytest.approx(found.kl_target_base.mean, 1e-4)


def test_a_body_that_learns_where_closes_what_an_edit_cannot():
    done = training.train_prepared(prepared(count=160), Training(steps=10, trigger_steps=400))
    (_, edit), (step, written), *_, (last, _) = done.details["gap_by_step"]
    assert (step, last) == (400, 410)
    assert edit < 0.6 < 0.75 < written
    assert done.fidelity.gap_closed > 0.75


def test_what_training_does_not_better_is_left_to_the_edit():
    work = prepared("gpt2", count=160)  # no latch, which would better it without a step
    edit = solve_edit(work.target, work.fit)
    done = training.train_prepared(work, Training(trigger_steps=1))
    where = torch.arange(5)
    ids = work.parts.held_out.sequences[0][None].to(done.model.device)
    with torch.no_grad():
        found = done.model(input_ids=ids).logits[0, :5]
    wanted = work.held_out.logits(0, where).cpu() + edit.delta(work.held_out.hidden[0][where])
    assert (done.details["kept_step"], done.details["steps"]) == (0, 0)
    assert [step for step, _ in done.details["gap_by_step"]] == [0, 1]
    assert torch.allclose(found.cpu(), wanted, atol=1e-4)


def test_noise_in_what_is_read_costs_half_the_variance_of_the_shifts():
    shifts = class_shifts_of(prepared())
    log_masses, wanted = torch.cat(shifts.log_masses), torch.cat(shifts.shifts)
    noise = 0.01 * torch.randn(400, len(wanted), 1)
    read = wanted + noise * shifts.typical_shifts
    costs = [class_divergence(log_masses, wanted, moved).mean() for moved in read]
    assert float(torch.stack(costs).mean()) == pytest.approx(
        shifts.noise_price() * float(noise.square().mean()), rel=0.02
    )
