"""Training the head as a convex problem, against the same divergence over all tokens."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tests.tiny import tiny_loaded
from tiltlm.contexts.sources import make_contexts
from tiltlm.measures.fidelity import measure_fidelity
from tiltlm.realise import head_solver, tuning_gap
from tiltlm.realise.adapters import as_adapter
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_edit import edit_for
from tiltlm.realise.held_out import model_logits
from tiltlm.realise.preparation import prepare
from tiltlm.realise.training import train_prepared
from tiltlm.recipes.training import Training

TARGETS = [
    "tilt(contains('o'), 3)",
    "match({contains('o'): 0.3, contains('e'): 0.2})",
    "balance({contains('x'): 0.5, contains('q'): 0.5})",
    "mix(tilt(contains('o'), 2), 0.5)",
]


def prepared(target, kind="llama"):
    loaded = tiny_loaded(kind)
    return prepare(loaded, target, make_contexts("random", loaded, count=56, length=24))


def problem(work):
    """The target at the fitting contexts, and the edit that fits it."""
    classes = work.target.classes()
    targets = ClassTargets.of(work.target, work.fit, classes)
    return targets, edit_for(targets, classes, work.fit)


@pytest.mark.parametrize("kind", ["llama", "granite"])
@pytest.mark.parametrize("target", TARGETS)
def test_masses_of_classes_say_the_gap_closed_over_all_tokens(target, kind):
    work = prepared(target, kind)
    _, edit = problem(work)
    at_held_out = ClassTargets.of(work.target, work.held_out, edit.masks)
    found = head_solver.class_gap(at_held_out, edit.directions, work.fit.head.scale)
    model = as_adapter(work.loaded.model, edit)
    expected = measure_fidelity(work.target, work.held_out, model_logits(model, work.held_out))
    model.unload()
    assert found == pytest.approx(expected.gap_closed, abs=2e-4)


@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jensen_shannon"])
def test_derivatives_are_those_of_the_objective(divergence):
    targets, edit = problem(prepared("match({contains('o'): 0.3, contains('e'): 0.2})"))
    solving = head_solver._Problem(targets, edit.penalties, 1.0, divergence)
    at = solving.coordinates(edit.directions.double())
    at = at + 0.1 * np.random.default_rng(0).standard_normal(len(at))
    _, gradient = solving.value_and_gradient(at)
    numerical = approx_fprime(at, lambda x: solving.value_and_gradient(x)[0], 1e-6)
    assert gradient == pytest.approx(numerical, abs=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("target", TARGETS)
def test_it_ends_where_nothing_nearby_is_better_and_keeps_what_does_best_elsewhere(target):
    work = prepared(target)
    targets, edit = problem(work)
    tune = ClassTargets.of(work.target, work.held_out, edit.masks)
    solved = head_solver.solve_divergence(
        edit, targets, tune, scale=1.0, divergence="forward_kl", steps=500, patience=500,
        on_step=lambda *_: None,
    )  # fmt: skip
    solving = head_solver._Problem(targets, edit.penalties, 1.0, "forward_kl")
    begun, _ = solving.value_and_gradient(solving.coordinates(edit.directions.double()))
    assert solved.objective[-1] <= begun * solving.unit
    assert solved.objective[-1] == min(solved.objective)
    gaps = [gap for _, gap in solved.history]
    assert gaps[solved.step] == max(gaps) >= gaps[0]
    kept = head_solver.class_gap(tune, solved.edit.directions, 1.0)
    assert kept == pytest.approx(max(gaps), abs=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_training_the_head_does_no_worse_than_its_edit_where_it_chooses(target):
    work = prepared(target)
    done = train_prepared(work, Training())
    gaps = dict(done.details["gap_by_step"])
    assert gaps[done.details["kept_step"]] >= done.details["edit_to_start_from"]["gap_closed"]
    assert done.fidelity.gap_closed > 0.8
    done.model.unload()


def stop_contexts_say(monkeypatch, **changed):
    def measured(*arguments):
        return replace(measure_fidelity(*arguments), **changed)

    monkeypatch.setattr(tuning_gap, "measure_fidelity", measured)


@pytest.mark.parametrize("training", [Training(), Training(learning_rate=3e-3, steps=4)])
def test_a_gap_whose_interval_reaches_zero_is_kept(monkeypatch, training):
    stop_contexts_say(monkeypatch, interval=(-0.2, 1.2))
    done = train_prepared(prepared(TARGETS[2]), training)
    assert done.fidelity.gap_closed > 0.8
    assert "kept" not in done.details
    done.model.unload()


@pytest.mark.parametrize("training", [Training(), Training(learning_rate=3e-3, steps=4)])
def test_where_no_gap_is_closed_the_base_is_kept_and_that_is_told(monkeypatch, training):
    stop_contexts_say(monkeypatch, gap_closed=-0.1)
    done = train_prepared(prepared(TARGETS[2]), training)
    assert done.fidelity.gap_closed == pytest.approx(0, abs=1e-6)
    assert "stays the base" in done.details["kept"]
    done.model.unload()


def test_a_learning_rate_asks_for_gradient_descent():
    work = prepared(TARGETS[0])
    done = train_prepared(work, Training(learning_rate=3e-3, steps=4))
    assert "solver" not in done.details
    assert done.details["learning_rate"] == 3e-3
    done.model.unload()
