import math

import numpy as np
import pytest
from scipy import stats

from tiltlm.errors import MeasurementError
from tiltlm.statistics.comparisons import (
    adjust,
    compare_ratio,
    compare_samples,
    compare_shares,
    compare_shift,
)
from tiltlm.statistics.intervals import paired_shares, ratio_student, ratio_test, student


def test_paired_means_agree_with_scipys_paired_t_test_up_to_the_correction_for_leverage():
    generator = np.random.default_rng(0)
    base, model = generator.normal(size=(2, 200))
    found = compare_ratio("x", "item", base, model, [1.0] * 200, worth=0.1)
    expected = stats.ttest_rel(model, base)
    assert found.difference == pytest.approx((model - base).mean())
    assert found.p == pytest.approx(expected.pvalue, rel=0.02)
    assert (found.base, found.model) == (pytest.approx(base.mean()), pytest.approx(model.mean()))


def test_a_ratio_of_equal_denominators_is_a_mean():
    values = [1.0, 3.0, 2.0, 7.0, 4.0, 1.5]
    low, high = ratio_student([2 * v for v in values], [2.0] * 6)
    plain = student(values)
    assert (low + high) / 2 == pytest.approx(sum(plain) / 2)
    assert (high - low) / (plain[1] - plain[0]) == pytest.approx(math.sqrt(6 / 5))


def test_a_cluster_without_weight_changes_nothing():
    assert ratio_test([1.0, 2.0, 0.0], [1.0, 1.0, 0.0]) == ratio_test([1.0, 2.0], [1.0, 1.0])


def test_an_interval_holds_where_half_of_the_clusters_add_to_the_numerator_alone():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        bottoms = generator.uniform(1, 3, 40) * (np.arange(40) % 2)
        tops = 0.3 * bottoms * generator.exponential(size=40) + generator.exponential(0.2, size=40)
        low, high = ratio_student(tops.tolist(), bottoms.tolist())
        assert low < tops.sum() / bottoms.sum() < high
        hits += low < 0.3 + 0.2 * 40 / (2 * 20) < high
    assert 0.92 < hits / 400 < 0.99
    assert ratio_test([1.0, 2.0], [1.0, 0.0]) is None


def test_one_large_cluster_is_not_taken_for_many():
    few = ratio_test([100.0, 1.0, 1.2], [100.0, 1.0, 1.0])
    assert few is not None
    assert few[2] == 1.0


def test_shares_are_tested_as_mcnemar_does():
    base, model = [True] * 30 + [False] * 20, [True] * 25 + [False] * 5 + [True] * 15 + [False] * 5
    found = compare_shares("x", "pair", base, model, worth=0.02)
    assert found.difference == pytest.approx(0.2)
    assert found.p == pytest.approx(stats.binomtest(15, 20).pvalue)
    assert found.interval[0] < 0.2 < found.interval[1]


def test_no_discordant_pair_still_leaves_an_interval():
    (low, high), p = paired_shares(0, 0, 50)
    assert low < 0 < high
    assert p == 1.0


def test_independent_samples_are_compared_as_welch_does():
    generator = np.random.default_rng(1)
    base, model = generator.normal(size=20), 1 + 3 * generator.normal(size=30)
    found = compare_samples("x", "sample", base, model, worth=1.0)
    assert found.p == pytest.approx(stats.ttest_ind(model, base, equal_var=False).pvalue)


def test_items_that_do_not_move_are_no_difference_and_items_that_all_move_alike_are_not_judged():
    same, moved = (compare_shift("x", "item", [v] * 5, [1.0] * 5, worth=1) for v in (0.0, 2.0))
    assert (same.difference, same.p, same.interval) == (0.0, 1.0, None)
    assert (moved.difference, moved.p, moved.interval) == (2.0, None, None)
    assert not any(c.different for c in adjust([same, moved]))


def test_many_comparisons_are_adjusted_together():
    generator = np.random.default_rng(2)
    noise = [
        compare_shift("n", "item", generator.normal(size=30), [1.0] * 30, worth=1)
        for _ in range(30)
    ]
    effect = compare_shift("e", "item", 2 + generator.normal(size=30), [1.0] * 30, worth=1)
    found = adjust([*noise, effect])
    assert found[-1].different
    assert found[-1].p_adjusted == pytest.approx(31 * effect.p)
    assert all(c.p_adjusted >= c.p for c in found)


def test_the_items_needed_show_the_difference_four_times_in_five():
    generator = np.random.default_rng(3)
    pilot = compare_shift("x", "item", 3 * generator.normal(size=4000), [1.0] * 4000, worth=0.5)
    shown = 0
    for _ in range(400):
        values = 0.5 + 3 * generator.normal(size=pilot.needed)
        shown += stats.ttest_1samp(values, 0).pvalue < 0.05
    assert 0.74 < shown / 400 < 0.86


def test_one_sample_is_refused():
    with pytest.raises(MeasurementError, match="at least two"):
        compare_samples("x", "sample", [1.0], [2.0, 3.0], worth=1)
