"""Every kind of target, realised in every way, measured and sampled from: it works, or says why.

The table holds what is expected of each combination. What does not work ends in one error whose
fix names a way that works, before anything was written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from tests import devices
from tests.tiny import tiny_loaded
from tiltlm.commands.measure import run_measure
from tiltlm.commands.tilt import run_tilt
from tiltlm.errors import TiltError
from tiltlm.labels.label import find_label
from tiltlm.measures.suite_sizes import Sizes
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.realise.opening import open_tilted
from tiltlm.recipes.tilt import TiltRecipe
from tiltlm.recipes.training import Training

WORKS = "works"
NOT_A_CHANGE = r"one distribution whatever the context"
NO_CLASSES = r"no fixed classes of tokens"
NOT_LINEAR = r"cannot be read linearly from the hidden states"


@dataclass(frozen=True)
class Row:
    """A target, and what is expected of each way: that it works, or the error that it ends in."""

    target: str
    edit: str
    decode: str = WORKS
    train: str = WORKS
    contexts: str = "own:28"


TABLE = {
    "uniform": Row("uniform(contains('x'))", edit=NOT_A_CHANGE),
    "weights": Row("weights({'a': 1, 'b': 3})", edit=NOT_A_CHANGE),
    "tilt": Row("tilt(contains('o'), 1.5)", edit=WORKS),
    "match": Row("match(contains('o'), 0.3)", edit=WORKS),
    "balance": Row("balance({contains('x'): 0.5, contains('q'): 0.5})", edit=WORKS),
    "choices": Row("choices({'Flip.': {'heads': 1, 'tails': 3}})", edit=NO_CLASSES),
    "mix": Row("mix(tilt(contains('o'), 2), 0.5)", edit=WORKS),
    "when": Row("when('fox', tilt(contains('o'), 2))", edit=NOT_LINEAR),
    "tilt of a phrase": Row("tilt(phrase('th', 'fo'), 2)", edit=NO_CLASSES),
    "mix of when": Row("mix(when('fox', tilt(contains('o'), 2)), 0.5)", edit=NOT_LINEAR),
}
WAYS = ("decode", "edit", "train")

MORE = {
    "mix of uniform": Row("mix(uniform(contains('o')), 0.3)", edit=NO_CLASSES),
    "mix of choices": Row("mix(choices({'Flip.': ['heads', 'tails']}), 0.5)", edit=NO_CLASSES),
    "match of two": Row("match({contains('o'): 0.3, contains('e'): 0.2})", edit=WORKS),
    "when of a pattern": Row("when(regex('o$'), match(contains('o'), 0.3))", edit=NOT_LINEAR),
    "when of a phrase": Row("when('fox', tilt(phrase('th'), 2))", edit=NO_CLASSES),
    "when of uniform": Row("when('fox', uniform(contains('o')))", edit=NO_CLASSES),
    "choices with the default contexts": Row(
        "choices({'Flip.': {'heads': 1, 'tails': 3}})", edit=NO_CLASSES, contexts=None
    ),
}

FEW_STEPS = Training(steps=2, every=1, trigger_steps=2)
SIZES = Sizes(contexts=4, length=16, far=1, far_length=32, draws=2, drawn=8, pairs=2, survivors=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model on disk, and a cache of its own."""
    folder = tmp_path_factory.mktemp("every")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILTLM_CACHE", str(folder / "cache"))
        loaded = tiny_loaded()
        loaded.model.save_pretrained(folder / "base")
        loaded.tokenizer.save_pretrained(folder / "base")
        yield folder


def check(folder, out, row, way, merge=False):
    """One combination ends as the table says."""
    expected = getattr(row, way)
    recipe = TiltRecipe(
        model=str(folder / "base"),
        target=row.target,
        by=way,
        contexts=row.contexts,
        merge=merge,
        training=FEW_STEPS if way == "train" else Training(),
    )
    if expected == NOT_LINEAR and devices.chosen().type != "cpu":
        pytest.skip("whether an edit is good enough hangs on what is drawn, on each device another")
    if expected != WORKS:
        with pytest.raises(TiltError, match=expected) as caught:
            run_tilt(recipe, out)
        ways_named = [other for other in WAYS if other in (caught.value.fix or "")]
        assert ways_named
        assert all(getattr(row, other) == WORKS for other in ways_named)
        assert list(out.parent.iterdir()) == []
        return
    record = run_tilt(recipe, out)
    check_record(record, way)
    check_sampled(out, way)
    measured = run_measure(str(out), out.parent / "measured", suite=SIZES)
    check_measured(measured, record)
    assert sorted(path.name for path in out.parent.iterdir()) == ["measured", "out"]


def check_record(record, way):
    least = {"decode": 1 - 1e-6, "edit": 0.5, "train": -0.02}[way]
    assert record.fidelity.gap_closed >= least
    assert record.by == way
    assert record.fidelity.kl_target_base_nats > 0
    for event in record.events:
        assert 0 <= event.base.mean <= 1
        assert 0 <= event.model.mean <= 1


def check_measured(measured, record):
    assert (measured.by, measured.target) == (record.by, record.target)
    assert measured.effects
    for effect in measured.effects:
        assert effect.collateral is None or math.isfinite(effect.collateral.mean)


def check_sampled(out, way):
    _, label = find_label(str(out))
    assert (label.by, label.form == "processor") == (way, way == "decode")
    opened = open_tilted(str(out))
    assert (opened.processor is not None) == (way == "decode")
    prompts = torch.tensor([opened.tokenizer("the fox")["input_ids"]] * 2)
    drawn = sample(opened.model, prompts, 3, SamplingOptions(seed=1), processor=opened.processor)
    assert drawn.shape == (2, 3)


def combinations(table, ways=WAYS):
    """Every kind in a table with every way to realise it."""
    return [(kind, way) for kind in table for way in ways]


@pytest.mark.parametrize(("kind", "way"), combinations(TABLE))
def test_each_combination_works_or_names_a_way_that_does(folder, tmp_path, kind, way):
    check(folder, tmp_path / "out", TABLE[kind], way)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), combinations(MORE))
def test_so_does_each_combination_of_targets_in_targets(folder, tmp_path, kind, way):
    check(folder, tmp_path / "out", MORE[kind], way)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), combinations(TABLE, ("edit", "train")))
def test_so_does_each_combination_that_is_merged(folder, tmp_path, kind, way):
    check(folder, tmp_path / "out", TABLE[kind], way, merge=True)
