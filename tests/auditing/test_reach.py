"""A suspect further from its reference than all of a pack: which of its tilts still accuse."""

import numpy as np
import pytest
import torch

from tiltlm.auditing.logits.finding import Finding
from tiltlm.auditing.logits.reach import divergence_left, within_reach
from tiltlm.auditing.shifts.likeness import Likeness
from tiltlm.auditing.shifts.log_ratios import Shift, TopTokens

SIZE, CONTEXTS = 40, 30
FIRST, SECOND = tuple(range(5)), tuple(range(5, 12))


def distributions(seed=0):
    """(C, V) of a reference, at one position of each context."""
    logits = torch.randn(CONTEXTS, SIZE, generator=torch.Generator().manual_seed(seed)).double()
    return (2 * logits).softmax(1)


def tilted(probabilities, tokens, strength):
    weights = torch.zeros(SIZE).double()
    weights[list(tokens)] = strength
    return (probabilities.log() + weights).softmax(1)


def shift_of(reference, suspect):
    ratios = (suspect / reference).log()
    nothing = TopTokens(torch.empty(0), torch.empty(0))
    return Shift(
        by_context=ratios - ratios.mean(1, keepdim=True),
        kl=float(-(reference * ratios).sum(1).mean()),
        reference_mass=reference.mean(0),
        suspect_mass=suspect.mean(0),
        masses_by_context=torch.stack([reference, suspect]).float(),
        by_stratum=torch.empty(0, SIZE),
        top=nothing,
        positions=CONTEXTS,
    )


def finding(tokens):
    """A class for which everything else speaks."""
    likeness = Likeness(value=9.0, token_spread=0.0, stratum_spread=0.0)
    return Finding("a class", tokens, "outside", 0, 1.0, 9.0, (0.9, 1.1), 0.01, 0.01, likeness)


@pytest.mark.parametrize("strength", [-2.0, 0.3, 4.0, 12.0])
def test_a_tilt_that_is_taken_back_leaves_nothing(strength):
    reference = distributions()
    shift = shift_of(reference, tilted(reference, FIRST, strength))
    assert divergence_left(shift, [finding(FIRST)]) == pytest.approx([0.0], abs=1e-4)


def test_tilts_are_taken_back_one_after_another():
    reference = distributions()
    once = tilted(reference, SECOND, -1.0)
    shift = shift_of(reference, tilted(once, FIRST, 2.0))
    left = divergence_left(shift, [finding(FIRST), finding(SECOND)])
    assert left[0] < shift.kl
    assert left[1] == pytest.approx(0.0, abs=0.01)


def test_what_is_left_is_never_said_to_be_less_than_it_is():
    reference = distributions()
    drawn = distributions(seed=1)
    shift = shift_of(reference, tilted(drawn, FIRST, 1.0))
    # Two positions of a context are known by their mean alone.
    halves = shift.masses_by_context.reshape(2, CONTEXTS // 2, 2, SIZE).mean(2)
    coarse = Shift(**{**vars(shift), "masses_by_context": halves})
    strengths = np.linspace(-5, 5, 401)
    least = min(
        shift_of(reference, tilted(tilted(drawn, FIRST, 1.0), FIRST, -b)).kl for b in strengths
    )
    assert divergence_left(shift, [finding(FIRST)])[0] >= least - 1e-4
    assert divergence_left(coarse, [finding(FIRST)])[0] >= least - 1e-4


def test_beyond_the_pack_a_class_accuses_if_the_rest_is_within():
    reference = distributions()
    strong = shift_of(reference, tilted(reference, FIRST, 6.0))
    (found,) = within_reach([finding(FIRST)], strong, reach=0.5)
    assert strong.kl > 0.5
    assert found.is_planted(0.01)
    other = shift_of(reference, tilted(distributions(seed=2), FIRST, 0.5))
    (found,) = within_reach([finding(FIRST)], other, reach=0.5)
    assert not found.is_planted(0.01)
    (found,) = within_reach([finding(FIRST)], other, reach=2 * other.kl)
    assert found.is_planted(0.01)
