"""Verdicts on simulated servers whose truth is known, with seeds; error rate 1 %."""

import numpy as np
import pytest

from tests.serving.simulated import SimulatedServer, candidates_for, serving, verified
from tiltlm.serving.verify.design import best_mix
from tiltlm.serving.verify.elimination import least_tokens
from tiltlm.serving.verify.hypotheses import between
from tiltlm.serving.verify.judging import judge

STRONG, WEAK = "tilt(contains('o'), 2)", "tilt(contains('o'), 1)"

VERDICTS = {"the tilt": "tilt", "the base": "base"}


def test_of_200_servers_no_more_than_five_are_taken_for_what_they_are_not():
    candidates = candidates_for(STRONG)
    names = ["the tilt", "the base", "half the tilt", "the tilt twice"]
    wrong, undecided = [], 0
    for name in names:
        server = serving(candidates, name)
        for seed in range(50):
            judgement = judge(verified(candidates, server, seed))
            undecided += judgement.verdict == "undecided"
            if judgement.verdict not in (VERDICTS.get(name, "neither"), "undecided"):
                wrong.append((name, judgement.verdict))
    # Each has a probability of 1 %; of 200 more than five are wrong with one of 1.6 %.
    assert len(wrong) <= 5
    assert undecided == 0


@pytest.mark.parametrize("true", [0, 1])
def test_tilt_and_base_are_told_apart_within_one_and_a_half_times_wald_s_bound(true):
    candidates = candidates_for(WEAK)
    server = serving(candidates, candidates.hypotheses[true].name)
    told = [verified(candidates, server, seed, budget=160).told_apart_at for seed in range(40)]
    needed = [160 if at is None else at for at in told]
    information = candidates.divergences[:, true][:, [1 - true]]
    bound = least_tokens(float((best_mix(information, np.ones(1)) @ information)[0]), 0.01)
    assert np.mean(needed) <= 1.5 * bound
    # Nor does it beat what no test can: the mean, within its own error.
    assert np.mean(needed) >= bound - 3 * np.std(needed) / 40**0.5


@pytest.mark.parametrize(
    "name",
    [
        "half the tilt",
        "the tilt twice",
        "the tilt, drawn at temperature 0.7",
        "the base, drawn at temperature 0.7",
        "the tilt, drawn from the 40 likeliest tokens",
        "the tilt, drawn with top-p 0.9",
        "the tilt, drawn with min-p 0.05",
        "the base, drawn with llama.cpp's defaults (temperature 0.8, top-k 40, top-p 0.95, "
        "min-p 0.05)",
    ],
)
def test_a_mistake_that_has_a_name_is_told_by_it(name):
    candidates = candidates_for(STRONG)
    family = {h.name: h.family for h in candidates.hypotheses}
    server = serving(candidates, name)
    judgements = [judge(verified(candidates, server, seed)) for seed in range(5, 10)]
    told = [j.recognised for j in judgements]
    # Each is ruled out with a probability of 1 %: two of five with one of 0.1 %.
    assert sum(family.get(t) == family[name] for t in told) >= 4
    assert all(j.verdict == "neither" for j in judgements)


def test_a_repetition_penalty_is_tried_where_it_shows_and_said_to_be_untried_where_not():
    candidates = candidates_for(STRONG)
    tried = {h.name for h in candidates.hypotheses}
    assert not tried & set(candidates.untried)
    every = tried | set(candidates.untried)
    assert "the tilt, drawn with a repetition penalty of 1.3" in every


def test_what_has_no_name_is_called_neither_and_given_none():
    candidates = candidates_for(STRONG)
    uniform = [p.base.new_zeros(len(p.base)).log_softmax(-1) for p in candidates.prompts]
    judgement = judge(verified(candidates, SimulatedServer(uniform), 0))
    assert (judgement.verdict, judgement.recognised) == ("neither", None)


def test_where_the_budget_is_spent_nothing_is_claimed():
    candidates = candidates_for(WEAK)
    verification = verified(candidates, serving(candidates, "the tilt"), 0, budget=4)
    assert judge(verification).verdict == "undecided"
    assert len(verification.drawn) == 4


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_the_interval_of_the_strength_covers_it_and_narrows(strength):
    candidates = candidates_for(STRONG)
    rows = [between(p.base, p.tilt, strength).log_softmax(-1) for p in candidates.prompts]
    covered, widths = 0, {}
    for seed in range(8):
        for budget in (40, 120):
            verification = verified(
                candidates, SimulatedServer(rows), seed, budget=budget, error=1e-9
            )
            low, high = verification.line.interval()
            covered += low <= strength <= high
            widths.setdefault(budget, []).append(high - low)
    # A seed misses with a probability of at most 5 %: three of eight with one of 0.6 %.
    assert covered >= 16 - 2 * 2
    assert np.mean(widths[120]) < np.mean(widths[40])


def test_a_target_that_is_the_same_for_any_base_has_no_double():
    candidates = candidates_for("uniform(contains('o'))")
    assert "the tilt twice" not in {h.name for h in candidates.hypotheses}
