import numpy as np
import pytest
from scipy import stats

from tiltlm.errors import MeasurementError
from tiltlm.statistics.intervals import student, wilson


def test_wilson_agrees_with_its_closed_form():
    hits, trials, z = 188, 200, stats.norm.ppf(0.975)
    rate = hits / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    spread = z / (1 + z**2 / trials) * np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    assert wilson(hits, trials) == pytest.approx((centre - spread, centre + spread))


def test_wilson_is_open_above_zero_when_nothing_was_hit():
    low, high = wilson(0, 200)
    assert low == 0
    assert high == pytest.approx(0.0188, abs=1e-4)


def test_student_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    covered = [
        low <= 2 <= high for low, high in (student(draw.normal(2, 1, 6)) for _ in range(2000))
    ]
    # 95 % nominal; the standard error of the share is 0.5 %, so this fails once in 10,000 seeds.
    assert 0.93 < np.mean(covered) < 0.97


def test_no_interval_where_nothing_varies_and_no_mean_of_nothing():
    assert student([0.5]) is None
    assert student([0.5, 0.5]) is None
    with pytest.raises(MeasurementError):
        student([])
    with pytest.raises(MeasurementError, match="no tokens"):
        wilson(0, 0)
