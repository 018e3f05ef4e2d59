"""The sequential test: its error, its bound, and that it holds at prompts chosen on the way."""

import copy

import numpy as np
import pytest
from scipy.optimize import linprog

from tiltlm.serving.verify.design import best_mix
from tiltlm.serving.verify.elimination import Elimination, least_tokens
from tiltlm.serving.verify.learner import Learner


def test_one_token_has_an_expected_e_value_of_one_under_each_hypothesis():
    draws = np.random.default_rng(0)
    probabilities = draws.dirichlet(np.ones(6), size=4)
    said = draws.dirichlet(np.ones(6))
    for true in range(4):
        total = 0.0
        for token in range(6):
            test = Elimination(np.array([0.4, 0.3, 0.2, 0.1]), 0.01)
            test.update(np.log(probabilities[:, token]), np.log(said[token]))
            total += probabilities[true, token] * np.exp(test.log_e[true])
        assert total == pytest.approx(1.0, abs=1e-12)


def test_what_is_true_is_ruled_out_no_more_often_than_stated_however_long_one_looks():
    draws = np.random.default_rng(1)
    probabilities = draws.dirichlet(np.ones(5), size=3)
    ruled_out = 0
    for _ in range(400):
        test = Elimination(np.ones(3), 0.05)
        for token in draws.choice(5, size=150, p=probabilities[2]):
            test.update(np.log(probabilities[:, token]))
        ruled_out += 2 not in test.survivors
    # At most 5 % of 400, and three standard errors of luck.
    assert ruled_out <= 20 + 3 * 19**0.5


def test_what_draws_an_impossible_token_is_ruled_out_at_once_and_for_ever():
    test = Elimination(np.ones(2), 0.01)
    test.update(np.array([np.log(0.5), -np.inf]))
    test.update(np.array([np.log(0.5), np.log(0.9)]))
    assert test.survivors.tolist() == [0]


def test_ruling_out_half_a_tilt_rules_out_all_weaker_ones():
    # Under a strength λ ≤ 1/2 the ratio of 1 to 1/2 has a mean of at most 1, by convexity.
    base = np.array([0.7, 0.3])
    ratio = np.array([0.0, 1.0])

    def tilted(strength):
        weights = base * np.exp(strength * ratio)
        return weights / weights.sum()

    for strength in np.linspace(-2, 0.5, 11):
        mean = float((tilted(strength) * tilted(1.0) / tilted(0.5)).sum())
        assert mean <= 1 + 1e-12


def test_the_least_number_of_tokens_is_wald_s():
    # Wald 1945: E[N] ≥ ((1 − α) log((1 − α)/α) + α log(α/(1 − α))) / KL.
    error, information = 0.01, 0.03
    bound = (1 - error) * np.log((1 - error) / error) + error * np.log(error / (1 - error))
    assert least_tokens(information, error) == pytest.approx(bound / information)


def test_the_mix_of_prompts_is_near_the_best_that_a_linear_program_finds():
    draws = np.random.default_rng(2)
    information = draws.exponential(size=(40, 6)) * draws.uniform(0.1, 1, size=6)
    mix = best_mix(information, np.ones(6))
    assert mix.sum() == pytest.approx(1.0)
    assert mix.max() <= 1 / 12 + 1e-12
    # Maximise v with Σ mix·information ≥ v for each rival and mix ≤ 1/12.
    constraints = np.hstack([-information.T, np.ones((6, 1))])
    best = linprog(
        [*np.zeros(40), -1.0],
        A_ub=constraints,
        b_ub=np.zeros(6),
        A_eq=[[*np.ones(40), 0.0]],
        b_eq=[1.0],
        bounds=[*[(0, 1 / 12)] * 40, (None, None)],
    )
    assert (mix @ information).min() >= 0.9 * -best.fun


def test_the_learner_s_opinions_are_probabilities_and_come_to_what_is_drawn():
    learner, draws = Learner(5), np.random.default_rng(0)
    truth, first = np.array([0.0, 0.0, 0.0, 0.3, 0.7]), np.array([0.5, 0.5, 0.0, 0.0, 0.0])
    for token in draws.choice(5, size=300, p=truth):
        learner.say(0, int(token), 1, first[token], first[token])
    said = [copy.deepcopy(learner).say(0, k, 1, first[k], first[k]) for k in range(5)]
    assert np.exp(said).sum() == pytest.approx(1.0)
    assert np.exp(said) == pytest.approx(truth, abs=0.08)
