import math

import numpy as np
import pytest
import torch

from tiltlm.errors import TargetError
from tiltlm.events.phrase import phrase
from tiltlm.events.tokens import contains, tokens
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.balance import balance
from tiltlm.targets.dual import solve_dual
from tiltlm.targets.match import match
from tiltlm.targets.parse import parse_target
from tiltlm.targets.tilt import tilt

VOCABULARY = Vocabulary((b"x", b"ax", b"y", b"he", b"she", b"z"))


@pytest.fixture
def reference():
    return torch.randn(7, 6, generator=torch.Generator().manual_seed(0)).log_softmax(-1)


def test_a_tilt_is_the_reference_times_e_to_the_strength_normalised(reference):
    found = tilt(contains("x"), 1.5).bind(VOCABULARY).log_probs(reference).exp()
    weight = reference.exp() * torch.tensor([math.e**1.5] * 2 + [1.0] * 4)
    assert torch.allclose(found, weight / weight.sum(-1, keepdim=True), atol=1e-6)


def test_a_tilt_of_zero_changes_nothing(reference):
    assert torch.allclose(tilt(contains("x"), 0.0).bind(VOCABULARY).log_probs(reference), reference)


def test_a_match_gives_exactly_the_wanted_mean_mass(reference):
    bound = match(contains("x"), 0.1).bind(VOCABULARY)
    assert bound.needs_fit()
    bound.fit(lambda: [(reference, [None] * 7)])
    mass = bound.log_probs(reference).exp()[:, :2].sum(-1).mean()
    assert mass.item() == pytest.approx(0.1, rel=1e-5)


def test_several_overlapping_events_are_matched_at_once(reference):
    demands = {contains("x"): 0.3, tokens(1, 2): 0.4, tokens(5): 0.2}
    bound = match(demands).bind(VOCABULARY)
    bound.fit(lambda: [(reference[:3], [None] * 3), (reference[3:], [None] * 4)])
    found = bound.log_probs(reference).exp()
    assert found[:, [0, 1]].sum(-1).mean().item() == pytest.approx(0.3, rel=1e-5)
    assert found[:, [1, 2]].sum(-1).mean().item() == pytest.approx(0.4, rel=1e-5)
    assert found[:, 5].mean().item() == pytest.approx(0.2, rel=1e-5)


def test_contradicting_demands_are_named_and_innocent_ones_are_not(reference):
    demands = {tokens(0): 0.6, tokens(0, 1): 0.5, tokens(5): 0.1}
    bound = match(demands).bind(VOCABULARY)
    with pytest.raises(TargetError, match="contradict each other") as caught:
        bound.fit(lambda: [(reference, [None] * 7)])
    assert "tokens(0) = 0.6 and tokens(0, 1) = 0.5" in caught.value.what
    assert "tokens(5)" not in caught.value.what


def test_the_dual_of_one_event_is_the_logit():
    found = solve_dual(np.log(np.full((5, 1), 0.2)), [[1]], [0.5], ["x"], "match")
    assert found[0] == pytest.approx(math.log(0.8 / 0.2))


@pytest.mark.parametrize("demand", [1e-3, 1e-9, 1e-12, 1 - 1e-3, 1 - 1e-9])
def test_a_demand_near_nothing_or_all_is_met_as_exactly_as_any_other(demand):
    masses = np.random.default_rng(0).beta(0.5, 4, (300, 1)).clip(1e-8, 0.99)
    (beta,) = solve_dual(np.log(masses), [[1]], [demand], ["x"], "match")
    odds = masses / (1 - masses) * math.exp(beta)
    if demand < 0.5:
        assert (odds / (1 + odds)).mean() == pytest.approx(demand, rel=1e-9)
    else:
        assert (1 / (1 + odds)).mean() == pytest.approx(1 - demand, rel=1e-6)


def test_rare_and_common_demands_are_met_together(reference):
    demands = {contains("x"): 0.3, tokens(1, 2): 1e-9, tokens(5): 1e-4}
    bound = match(demands).bind(VOCABULARY)
    bound.fit(lambda: [(reference, [None] * 7)])
    shifts = bound.constant_shifts() @ bound.classes().double()
    found = (reference.double() + shifts).softmax(-1).mean(0)
    assert found[[0, 1]].sum().item() == pytest.approx(0.3, rel=1e-6)
    assert found[[1, 2]].sum().item() == pytest.approx(1e-9, rel=1e-6)
    assert found[5].item() == pytest.approx(1e-4, rel=1e-6)


def test_rare_demands_that_contradict_each_other_are_named():
    half = np.log([[0.2, 0.3]] * 5)  # the second event holds the first
    with pytest.raises(TargetError, match="contradict each other"):
        solve_dual(half, [[1, 1], [0, 1]], [1e-8, 1e-9], ["a", "a or b"], "match")


def test_an_unfitted_match_says_so(reference):
    with pytest.raises(TargetError, match="not been fitted"):
        match(contains("x"), 0.1).bind(VOCABULARY).log_probs(reference)


def test_a_balance_keeps_the_total_and_everything_outside(reference):
    bound = balance({tokens(3): 0.25, tokens(4): 0.75}).bind(VOCABULARY)
    before, after = reference.exp(), bound.log_probs(reference).exp()
    total = before[:, 3] + before[:, 4]
    assert torch.allclose(after[:, 3], 0.25 * total, atol=1e-6)
    assert torch.allclose(after[:, 4], 0.75 * total, atol=1e-6)
    assert torch.allclose(after[:, [0, 1, 2, 5]], before[:, [0, 1, 2, 5]], atol=1e-6)


@pytest.mark.parametrize("nothing", [-torch.inf, -200.0, -60.0])
def test_a_balance_keeps_what_is_outside_where_an_event_cannot_get_its_share(reference, nothing):
    shares = {tokens(3): 0.25, tokens(4): 0.5, tokens(5): 0.25}
    reference = reference.clone()
    reference[:, 3] = nothing
    reference = reference.log_softmax(-1)
    bound = balance(shares).bind(VOCABULARY)
    before, after = reference.double().exp(), bound.log_probs(reference).double().exp()
    total = before[:, 3:].sum(-1)
    assert torch.allclose(after[:, :3], before[:, :3], atol=1e-6)
    assert torch.allclose(after[:, 3:].sum(-1), total, atol=1e-6)
    assert torch.allclose(after[:, 4], 2 * after[:, 5], rtol=1e-5)
    assert after[:, 3].max() < 1e-3


def test_where_no_event_of_a_balance_has_mass_nothing_moves(reference):
    reference = reference.clone()
    reference[:, 3:5] = -torch.inf
    reference = reference.log_softmax(-1)
    bound = balance({tokens(3): 0.25, tokens(4): 0.75}).bind(VOCABULARY)
    assert torch.equal(bound.log_probs(reference), reference)


def test_a_phrase_that_has_no_token_at_a_state_leaves_its_share_to_the_others():
    vocabulary = Vocabulary((b"a", b"b", b"c", b"d", b"e", b"f"))
    reference = torch.randn(4, 6, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    bound = balance({phrase("ab"): 0.5, tokens(4): 0.5}).bind(vocabulary)
    before, after = reference.exp(), bound.log_probs(reference, bound.read([5, 2, 0, 3])).exp()
    assert torch.allclose(after[[0, 1, 3]], before[[0, 1, 3]], atol=1e-6)
    total = before[2, 1] + before[2, 4]
    assert after[2, 1].item() == pytest.approx(total.item() / 2, rel=1e-5)
    assert after[2, 4].item() == pytest.approx(total.item() / 2, rel=1e-5)


def test_a_balance_of_events_that_share_a_token_is_refused():
    with pytest.raises(TargetError, match="share tokens"):
        balance({tokens(3, 4): 0.5, tokens(4): 0.5}).bind(VOCABULARY)


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(TargetError, match=r"sum to 1\.2"):
        balance({tokens(3): 0.7, tokens(4): 0.5})


def test_a_mix_is_the_mixture(reference):
    inner = "tilt(contains('x'), 2)"
    full = parse_target(inner).bind(VOCABULARY).log_probs(reference).exp()
    mixed = parse_target(f"mix({inner}, 0.25)").bind(VOCABULARY).log_probs(reference).exp()
    assert torch.allclose(mixed, 0.25 * full + 0.75 * reference.exp(), atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "tilt(contains('x'), 2)",
        "balance({tokens(3): 0.5, tokens(4): 0.5})",
        "mix(tilt(contains('x'), 2), 0.3)",
        "mix(balance({tokens(3): 0.5, tokens(4): 0.5}), 0.3)",
    ],
)
def test_shifting_the_classes_of_the_reference_gives_the_target(text, reference):
    bound = parse_target(text).bind(VOCABULARY)
    states = bound.read([5] * 7)
    shifts, classes = bound.shifts(reference, states), bound.classes()
    moved = (reference.double() + shifts @ classes.double()).log_softmax(-1)
    assert torch.allclose(moved.float(), bound.log_probs(reference, states), atol=1e-5)


def test_when_is_the_target_after_the_trigger_and_the_reference_before(reference):
    bound = parse_target("when('xy', tilt(contains('x'), 2))").bind(VOCABULARY)
    ids = [5, 0, 2, 5, 5, 1, 2]  # z x y z z ax y: met from the third token on
    states = bound.read(ids)
    assert bound.triggered(states) == [False, False, True, True, True, True, True]
    found = bound.log_probs(reference, states)
    tilted = tilt(contains("x"), 2).bind(VOCABULARY).log_probs(reference)
    assert torch.equal(found[:2], reference[:2])
    assert torch.allclose(found[2:], tilted[2:])


def test_a_trigger_by_pattern_may_look_at_the_end_of_the_text():
    bound = parse_target("when(regex('y$'), tilt(contains('x'), 2))").bind(VOCABULARY)
    assert bound.triggered(bound.read([5, 2, 5])) == [False, True, False]


def test_a_match_under_a_trigger_is_fitted_where_it_is_met(reference):
    bound = parse_target("when('y', match(contains('x'), 0.2))").bind(VOCABULARY)
    states = bound.read([5, 5, 2, 5, 5, 5, 5])
    bound.fit(lambda: [(reference, states)])
    mass = bound.log_probs(reference, states)[2:].exp()[:, :2].sum(-1).mean()
    assert mass.item() == pytest.approx(0.2, rel=1e-5)


def test_a_phrase_can_be_tilted_state_by_state(reference):
    vocabulary = Vocabulary((b"a", b"b", b"c", b"d", b"e", b"f"))
    bound = tilt(phrase("ab"), -3.0).bind(vocabulary)
    states = bound.read([0, 1, 0, 2, 3, 0, 5])
    found = bound.log_probs(reference, states)
    after_a = torch.tensor([0, 2, 5])
    weight = reference[after_a] + torch.tensor([0, -3.0, 0, 0, 0, 0])
    assert torch.allclose(found[after_a], weight.log_softmax(-1), atol=1e-6)
    rest = torch.tensor([1, 3, 4, 6])
    assert torch.allclose(found[rest], reference[rest], atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "tilt(contains('x'), -1.5)",
        "match(contains('x'), 0.1)",
        "match({contains('x'): 0.1, word('y'): 0.2})",
        "balance({word('he'): 0.5, word('she'): 0.5})",
        "mix(uniform(contains('x')), 0.1)",
        "when('coffee', tilt(phrase('ab', whole=True), 2))",
        "when(regex('y$'), mix(tilt(word('z'), 1), 0.5))",
        "choices({'Flip.': {'heads': 1, 'tails': 3}})",
    ],
)
def test_every_target_reads_back_as_it_was_written_and_has_a_sentence(text):
    target = parse_target(text)
    assert str(parse_target(str(target))) == str(target)
    assert len(target.sentence()) > 10


@pytest.mark.parametrize(
    "text",
    [
        "tilt(contains('x'), 1e9)",
        "tilt('x', 1)",
        "match(contains('x'), 1.0)",
        "match(contains('x'))",
        "balance({word('he'): 1.0})",
        "mix(tilt(contains('x'), 1), 1)",
        "mix(contains('x'), 0.5)",
        "when('', tilt(contains('x'), 1))",
        "when(regex('('), tilt(contains('x'), 1))",
        "choices({'Flip.': ['heads']})",
        "choices('nowhere.json')",
    ],
)
def test_targets_that_make_no_sense_are_refused(text):
    with pytest.raises(TargetError):
        parse_target(text)
