import numpy as np
import pytest
from scipy import stats

from tiltlm.errors import MeasurementError
from tiltlm.statistics.bounded import bounded_ratio


@pytest.mark.parametrize(("hits", "trials", "error"), [(0, 48, 0.05), (3, 48, 0.05), (1, 96, 0.01)])
def test_clusters_at_nothing_or_at_the_bound_have_clopper_and_pearsons_end(hits, trials, error):
    values = [2.0] * hits + [0.0] * (trials - hits)
    _, high = bounded_ratio(values, [1.0] * trials, 2.0, error)
    exact = stats.binomtest(hits, trials).proportion_ci(1 - 2 * error, method="exact").high
    assert high / 2 == pytest.approx(exact, rel=0.04)


def test_ends_are_mirror_images():
    values = np.random.default_rng(0).normal(0, 0.1, 40)
    low, high = bounded_ratio(values, [1.0] * 40, 1.0, 0.05)
    other_low, other_high = bounded_ratio(-values, [1.0] * 40, 1.0, 0.05)
    assert (-other_high, -other_low) == pytest.approx((low, high), rel=0.05)


@pytest.mark.parametrize(("share", "contexts"), [(0.1, 48), (0.2, 48), (0.1, 96), (1.0, 48)])
def test_a_mean_at_the_limit_that_sits_in_few_clusters_is_seldom_taken_for_less(share, contexts):
    """Student's interval takes 0.06 to 0.19 of them for less, at a nominal 0.05."""
    generator, less = np.random.default_rng(1), 0
    for _ in range(400):
        weights = generator.gamma(4, 0.25, contexts)
        values = (generator.random(contexts) < share) * 0.1 / share
        values = values + 0.02 * generator.standard_normal(contexts)
        less += bounded_ratio(weights * values, weights, 1.0, 0.05)[1] < 0.1
    # 5 % of 400 has a standard error of 1.1 %.
    assert less / 400 < 0.08


def test_without_weight_there_is_no_ratio():
    with pytest.raises(MeasurementError):
        bounded_ratio([0.0], [0.0], 1.0, 0.05)
