import numpy as np
import pytest

from tiltlm.statistics.intervals import ratio_student
from tiltlm.statistics.skewness import stretches


def covered(draw, truth, simulations, seed=0):
    """The share of simulated data sets whose interval holds the truth."""
    generator, inside = np.random.default_rng(seed), 0
    for _ in range(simulations):
        tops, bottoms = draw(generator)
        interval = ratio_student(tops.tolist(), bottoms.tolist())
        inside += interval is not None and interval[0] <= truth <= interval[1]
    return inside / simulations


# A share of 0.95 of 1,000 has a standard error of 0.007, so each of these fails once in hundreds of
# seeds; Student's margin alone covers 0.86, 0.88 and 0.80.
@pytest.mark.parametrize("contexts", [16, 32])
def test_a_ratio_with_lognormal_numerators_is_covered(contexts):
    def draw(generator):
        lengths = generator.integers(20, 200, contexts).astype(float)
        return lengths * generator.lognormal(-0.5, 1, contexts), lengths

    assert 0.92 < covered(draw, 1.0, 1000) < 0.975


def test_a_ratio_whose_numerators_are_mostly_nothing_is_covered_from_sixteen_clusters_on():
    def draw(generator):
        levels = (generator.random(16) < 0.25) * generator.exponential(4, 16)
        return levels, np.ones(16)

    assert 0.91 < covered(draw, 1.0, 1000) < 0.975


def test_a_ratio_that_is_not_skewed_is_covered_as_before():
    def draw(generator):
        return 1 + 0.3 * generator.standard_normal(64), np.ones(64)

    assert 0.935 < covered(draw, 1.0, 1000) < 0.97


def test_margins_reach_further_on_the_side_that_the_sample_may_lack():
    values = np.random.default_rng(1).lognormal(0, 1, 40)
    values -= values.mean()
    below, above = stretches(values)
    assert below == 1
    assert above > 1.3
    assert stretches(-values) == pytest.approx((above, below), abs=0.15)


def test_margins_are_left_alone_where_nothing_is_skewed_or_too_little_is_known():
    values = np.random.default_rng(1).standard_normal(400)
    assert max(stretches(values - values.mean())) < 1.1
    assert stretches([-1.0, -1.0, 2.0]) == (1.0, 1.0)
    assert stretches([0.0] * 20) == (1.0, 1.0)


def test_the_same_values_always_have_the_same_interval():
    values = np.random.default_rng(2).lognormal(0, 1, 300)
    assert stretches(values - values.mean()) == stretches(values - values.mean())


def test_no_interval_reaches_infinitely_far():
    low, high = ratio_student([0.0] * 11 + [1.0], [1.0] * 12)
    assert np.isfinite([low, high]).all()
    assert high > 0.4
