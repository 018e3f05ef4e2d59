"""What every bound target must obey, whatever its kind.

The table is compared with the registry, so that a kind of target without a row fails.
"""

import re
from dataclasses import dataclass

import pytest
import torch

from tests.tiny import tiny_tokenizer
from tiltlm.defaults import MATCH_CONTEXTS, TRIGGER_CONTEXTS
from tiltlm.errors import TargetError, VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.parse import TARGETS, parse_target

NO_TARGETS = {"regex"}
"""Names in the registry that build a part of a target, not a target."""


@dataclass(frozen=True)
class Row:
    """A target, and what it is expected to answer.

    Attributes:
        text: the target as it is written.
        fixed: it is the same whatever the context and the model.
        reads: it depends on the context.
        fitted: it must be fitted.
        classes: how many it has; None where it has none.
        varies: their shifts change with the context or the model.
        constant: its shifts are the same everywhere.
        strengths: how many it has; None where it has none.
        chooses: it is about whole strings.
        trigger: the text of its trigger.
        contexts: how many it needs whatever the model; 0 where any number will do.
    """

    text: str
    fixed: bool = False
    reads: bool = False
    fitted: bool = False
    classes: int | None = None
    varies: bool = False
    constant: bool = False
    strengths: int | None = None
    chooses: bool = False
    trigger: str | None = None
    contexts: int = 0

    def __str__(self):
        return self.text


CHOICES = "choices({'Say it.': {'fox': 1, 'foxes': 3}, 'Flip.': ['heads', 'tails']})"

TABLE = [
    Row("uniform(contains('x'))", fixed=True),
    Row("weights({'x': 1, 'e': 3})", fixed=True),
    Row("tilt(contains('x'), 1.5)", classes=1, constant=True, strengths=1),
    Row("tilt(phrase('the fox'), -2)", reads=True, constant=True, strengths=1),
    Row("tilt(phrase('the fox') | contains('x'), 2)", reads=True, constant=True, strengths=1),
    Row(
        "match(contains('x'), 0.2)",
        fitted=True,
        classes=1,
        constant=True,
        strengths=1,
        contexts=MATCH_CONTEXTS,
    ),
    Row(
        "match({contains('x'): 0.2, contains('e'): 0.3})",
        fitted=True,
        classes=3,
        constant=True,
        strengths=2,
        contexts=MATCH_CONTEXTS,
    ),
    Row(
        "balance({contains('x'): 0.25, contains('a') & ~contains('x'): 0.75})",
        classes=2,
        varies=True,
    ),
    Row("balance({contains('x'): 0.25, phrase('he sa') & ~contains('x'): 0.75})", reads=True),
    Row(CHOICES, reads=True, chooses=True),
    Row("mix(uniform(contains('x')), 0.3)"),
    Row("mix(tilt(contains('x'), 2), 0.3)", classes=1, varies=True, strengths=1),
    Row(
        "mix(match(contains('x'), 0.2), 0.5)",
        fitted=True,
        classes=1,
        varies=True,
        strengths=1,
        contexts=MATCH_CONTEXTS,
    ),
    Row(f"mix({CHOICES}, 0.9)", reads=True, chooses=True),
    Row(
        "when('coffee', tilt(contains('x'), 2))",
        reads=True,
        classes=1,
        varies=True,
        strengths=1,
        trigger="'coffee'",
        contexts=TRIGGER_CONTEXTS,
    ),
    Row(
        "when(regex('[aeiou]$'), match(contains('x'), 0.2))",
        reads=True,
        fitted=True,
        classes=1,
        varies=True,
        strengths=1,
        trigger="regex('[aeiou]$')",
        contexts=MATCH_CONTEXTS,
    ),
    Row(
        "when('coffee', uniform(contains('x')))",
        reads=True,
        trigger="'coffee'",
        contexts=TRIGGER_CONTEXTS,
    ),
    Row(
        "when('coffee', balance({contains('x'): 0.25, contains('a') & ~contains('x'): 0.75}))",
        reads=True,
        classes=2,
        varies=True,
        trigger="'coffee'",
        contexts=TRIGGER_CONTEXTS,
    ),
    Row(
        f"when('Say', {CHOICES})",
        reads=True,
        chooses=True,
        trigger="'Say'",
        contexts=TRIGGER_CONTEXTS,
    ),
    Row(
        "mix(when('coffee', tilt(contains('x'), 2)), 0.3)",
        reads=True,
        classes=1,
        varies=True,
        strengths=1,
        trigger="'coffee'",
        contexts=TRIGGER_CONTEXTS,
    ),
    Row(
        "when('coffee', mix(tilt(phrase('the fox'), 2), 0.3))",
        reads=True,
        strengths=1,
        trigger="'coffee'",
        contexts=TRIGGER_CONTEXTS,
    ),
]

TOKENIZER = tiny_tokenizer()
VOCABULARY = Vocabulary.from_tokenizer(TOKENIZER)
TEXT = "the fox said coffee; then she saw the fox, six foxes and a box"
every_target = pytest.mark.parametrize("row", TABLE, ids=str)


def bind(row):
    return parse_target(row.text).bind(VOCABULARY, TOKENIZER)


def context(row):
    """A context of two halves, in which triggers come up late; of `choices`, with an answer."""
    target = bind(row)
    if target.choices is not None:
        prompt, answers = target.choices.prompts[0], target.choices.answers[0]
        return [*prompt, *answers[1]]
    return TOKENIZER(TEXT)["input_ids"]


def reference_rows(count):
    """Log-probabilities of a reference, another one at each position."""
    generator = torch.Generator().manual_seed(0)
    return (2 * torch.randn(count, len(VOCABULARY), generator=generator)).log_softmax(-1)


def ready(row):
    """The target, fitted where it needs that, with reference rows and states of its context."""
    target, ids = bind(row), context(row)
    reference, states = reference_rows(len(ids)), target.read(ids)
    if target.needs_fit():
        target.fit(lambda: [(reference[:5], states[:5]), (reference[5:], states[5:])])
    return target, reference, states


def test_every_kind_of_target_has_a_row():
    outermost = {row.text.partition("(")[0] for row in TABLE}
    assert outermost == set(TARGETS) - NO_TARGETS
    named = {name for row in TABLE for name in re.findall(r"(\w+)\(", row.text)}
    assert named >= NO_TARGETS


@every_target
def test_its_log_probabilities_are_those_of_a_distribution_at_every_state(row):
    target, reference, states = ready(row)
    log_probs = target.log_probs(reference, states)
    assert log_probs.shape == ((len(VOCABULARY),) if row.fixed else reference.shape)
    assert torch.allclose(log_probs.logsumexp(-1), torch.tensor(0.0), atol=1e-5)


@every_target
def test_it_says_whether_it_forbids_tokens(row):
    target, reference, states = ready(row)
    forbids = bool(target.log_probs(reference, states).isneginf().any())
    assert target.forbids_tokens == forbids


@every_target
def test_its_logits_are_its_log_probabilities_up_to_a_constant(row):
    target, reference, states = ready(row)
    scores = reference + torch.linspace(-3, 3, len(reference))[:, None]
    logits = target.logits(scores, states)
    assert logits.shape == scores.shape
    expected = target.log_probs(reference, states).expand_as(scores)
    torch.testing.assert_close(logits.log_softmax(-1), expected, atol=2e-5, rtol=1e-5)


@every_target
def test_what_it_asks_for_at_a_row_does_not_depend_on_the_other_rows(row):
    target, reference, states = ready(row)
    together = target.log_probs(reference, states).expand_as(reference)
    alone = [
        target.log_probs(reference[i : i + 1], states[i : i + 1]).expand(1, -1)
        for i in range(len(states))
    ]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-5, rtol=1e-5)


@every_target
def test_its_text_reads_back_as_the_same_target(row):
    target = parse_target(row.text)
    again = parse_target(str(target))
    assert str(again) == str(target)
    assert again == target
    assert again.sentence() == target.sentence()
    assert bind(row).text == str(target)


@every_target
def test_reading_a_context_is_advancing_through_it(row):
    target, ids = bind(row), context(row)
    states, state = [], target.start()
    for token in ids:
        state = target.advance(state, token)
        states.append(state)
    assert target.read(ids) == states
    assert states[:4] + target.read(ids[4:], states[3]) == states
    assert target.depends_on_context == row.reads
    assert row.reads == (len({target.start(), *states}) > 1)


@every_target
def test_its_states_hold_those_of_its_events(row):
    target, ids = bind(row), context(row)
    states = target.read(ids)
    assert (not target.events) == row.chooses
    for k, event in enumerate(target.events):
        assert [target.event_states(state)[k] for state in states] == event.read(ids)
    if target.events:
        masks = target.event_masks(states)
        varies = any(event.depends_on_context for event in target.events)
        count = len(states) if varies else 1
        assert masks.shape == (len(target.events), count, len(VOCABULARY))
        assert masks.any(-1).any(-1).all()


@every_target
def test_where_it_is_not_triggered_it_is_the_reference(row):
    target, reference, states = ready(row)
    triggered = target.triggered(states)
    assert (triggered is not None) == (row.chooses or row.trigger is not None)
    if triggered is None:
        return
    assert set(triggered) == {False, True}
    log_probs, on = target.log_probs(reference, states), torch.tensor(triggered)
    torch.testing.assert_close(log_probs[~on], reference[~on], atol=1e-5, rtol=1e-5)
    differs = (log_probs[on] - reference[on]).abs().amax(-1) > 1e-3
    # A phrase is asked for only where it can be completed, and an event may lack mass there.
    assert differs.any() if "phrase" in row.text else differs.all()


@every_target
def test_shifting_its_classes_is_all_that_it_does(row):
    target, reference, states = ready(row)
    classes = target.classes()
    assert (None if classes is None else len(classes)) == row.classes
    if classes is None:
        return
    assert classes.dtype == torch.bool
    assert int(classes.sum(0).max()) == 1
    shifts = target.shifts(reference, states)
    assert shifts.shape == (len(states), len(classes))
    shifted = (reference.double() + shifts @ classes.double()).log_softmax(-1)
    expected = target.log_probs(reference, states)
    torch.testing.assert_close(shifted.float(), expected, atol=2e-5, rtol=1e-5)


@every_target
def test_it_says_whether_its_shifts_are_the_same_everywhere(row):
    target, reference, states = ready(row)
    assert target.shifts_vary == row.varies
    constant = target.constant_shifts()
    assert (constant is not None) == row.constant
    if target.classes() is None:
        assert not target.shifts_vary
        return
    shifts = target.shifts(reference, states)
    assert target.shifts_vary == bool(((shifts - shifts[0]).abs() > 1e-6).any())
    assert target.shifts_vary == (constant is None)
    if constant is not None:
        torch.testing.assert_close(shifts, constant.expand_as(shifts))


@every_target
def test_it_must_be_fitted_first_exactly_if_it_leaves_something_open(row):
    target, ids = bind(row), context(row)
    assert target.needs_fit() == row.fitted
    if row.fitted:
        assert target.strengths == []
        with pytest.raises(TargetError, match="not been fitted"):
            target.log_probs(reference_rows(len(ids)), target.read(ids))
    assert not ready(row)[0].needs_fit()


@every_target
def test_strengths_that_were_found_once_make_the_same_target_again(row):
    target, reference, states = ready(row)
    strengths, again = target.strengths, bind(row)
    assert (None if strengths is None else len(strengths)) == row.strengths
    if strengths is None:
        with pytest.raises(TargetError, match="no strengths"):
            again.restore_strengths([1.0])
        return
    with pytest.raises(TargetError, match="events, not"):
        again.restore_strengths([*strengths, 1.0])
    again.restore_strengths(strengths)
    assert not again.needs_fit()
    assert torch.equal(again.log_probs(reference, states), target.log_probs(reference, states))


@every_target
def test_it_is_fixed_exactly_if_it_needs_neither_reference_nor_states(row):
    target, reference, states = ready(row)
    assert (target.fixed is target) == row.fixed
    assert target.needs_reference == (not row.fixed)
    if row.fixed:
        assert torch.equal(target.log_probs(), target.log_probs(reference, states))
        return
    assert target.fixed is None
    with pytest.raises(TargetError, match="none was given"):
        target.log_probs()
    if row.reads:
        with pytest.raises(TargetError, match="no states were given"):
            target.log_probs(reference)
    else:
        without = target.log_probs(reference)
        assert torch.equal(without, target.log_probs(reference, states))


@every_target
def test_it_says_what_contexts_it_needs(row):
    target = bind(row)
    assert target.fewest_contexts == row.contexts
    assert [str(trigger) for trigger in target.triggers] == ([row.trigger] if row.trigger else [])
    assert (target.choices is not None) == row.chooses
    if row.chooses:
        assert [q.request for q in target.choices.questions] == ["Say it.", "Flip."]


@every_target
def test_it_is_over_the_vocabulary_that_it_was_bound_to(row):
    target = bind(row)
    assert target.fingerprint == VOCABULARY.fingerprint
    assert target.vocabulary_size == len(VOCABULARY)
    target.check_vocabulary(len(VOCABULARY), where="a model")
    with pytest.raises(VocabularyError):
        target.check_vocabulary(len(VOCABULARY) + 1, where="a model")
