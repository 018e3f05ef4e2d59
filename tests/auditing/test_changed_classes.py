"""What a fine-tune changed: classes whose probability is another, with intervals over contexts."""

import dataclasses

import numpy as np
import torch

from tests.tiny import three_syllables
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.logits.changed_classes import changed_classes
from tiltlm.auditing.shifts.log_ratios import Shift, TopTokens

CONTEXTS, POSITIONS = 40, 16


def shift_of(reference, suspect):
    """Of (C, V) mean probabilities in each context."""
    empty = torch.empty(0)
    fields = dict.fromkeys([field.name for field in dataclasses.fields(Shift)], empty)
    masses = torch.from_numpy(np.stack([reference, suspect])) * POSITIONS
    tops = TopTokens(empty, empty)
    return Shift(**{**fields, "masses_by_context": masses, "top": tops})


def drawn(mask, factor, spread):
    """Contexts in which the odds of a class are so many times as large, give or take."""
    draws = np.random.default_rng(0)
    reference = draws.dirichlet(np.ones(len(mask)), size=CONTEXTS)
    factors = factor * np.exp(spread * draws.normal(size=(CONTEXTS, 1)))
    suspect = reference * np.where(mask, factors, 1)
    return reference, suspect / suspect.sum(1, keepdims=True)


def test_a_class_that_is_written_more_often_is_named_with_its_factor():
    classes = build_classes(three_syllables(400))
    mask = classes.members[classes.names.index("contains('om')")].toarray()[0] > 0
    reference, suspect = drawn(mask, 2.0, 0.3)
    first = changed_classes(classes, shift_of(reference, suspect), 0.01)[0]
    factor = (suspect @ mask).sum() / (reference @ mask).sum()
    assert classes.names[first.index] == "contains('om')"
    assert np.isclose(first.suspect / first.reference, factor)
    assert first.interval[0] < factor < first.interval[1]
    assert first.p < 0.01


def test_what_differs_from_context_to_context_and_not_on_average_is_not_named():
    classes = build_classes(three_syllables(400))
    mask = classes.members[classes.names.index("contains('om')")].toarray()[0] > 0
    assert changed_classes(classes, shift_of(*drawn(mask, 1.0, 0.5)), 0.01) == []


def test_of_a_model_that_is_its_reference_nothing_is_named():
    classes = build_classes(three_syllables(400))
    reference, _ = drawn(np.ones(400, bool), 1.0, 0.0)
    assert changed_classes(classes, shift_of(reference, reference), 0.01) == []
