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
from tiltlm.statistics.intervals import (
    difference_of_shares,
    paired_shares,
    ratio_p,
    ratio_student,
    ratio_test,
    student,
)
from tiltlm.statistics.skewness import stretches


def test_paired_means_agree_with_scipys_paired_t_test_up_to_leverage_and_skewness():
    generator = np.random.default_rng(0)
    base, model = generator.normal(size=(2, 200))
    found = compare_ratio("x", "item", base, model, [1.0] * 200, worth=0.1)
    expected = stats.ttest_rel(model, base)
    assert found.difference == pytest.approx((model - base).mean())
    assert expected.pvalue <= found.p < 1.2 * expected.pvalue
    assert (found.base, found.model) == (pytest.approx(base.mean()), pytest.approx(model.mean()))


def test_a_ratio_of_equal_denominators_is_a_mean():
    values = [1.0, 3.0, 2.0, 7.0, 4.0, 1.5]
    low, high = ratio_student([2 * v for v in values], [2.0] * 6)
    plain, (below, above) = student(values), stretches(np.array(values) - np.mean(values))
    mean, margin = np.mean(values), (plain[1] - plain[0]) / 2 * math.sqrt(6 / 5)
    assert low == pytest.approx(mean - below * margin)
    assert high == pytest.approx(mean + above * margin)


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


def test_the_p_of_a_ratio_is_below_five_per_cent_where_its_interval_leaves_0_out():
    generator = np.random.default_rng(5)
    for _ in range(60):
        tops = generator.normal(0.5, 1) + generator.lognormal(0, 1, 12) - 1
        low, high = ratio_student(tops.tolist(), [1.0] * 12)
        assert (ratio_p(tops.tolist(), [1.0] * 12) < 0.05) == (not low <= 0 <= high)


def test_items_that_do_not_move_are_no_difference_and_one_item_alone_is_not_judged():
    same, moved = (
        compare_shift("x", "item", [v] * n, [1.0] * n, worth=1) for v, n in ((0.0, 5), (2.0, 1))
    )
    assert (same.difference, same.p, same.interval) == (0.0, 1.0, None)
    assert (moved.difference, moved.p, moved.interval) == (2.0, None, None)
    assert not any(c.different for c in adjust([same, moved]))


@pytest.mark.parametrize("items", [5, 12])
def test_a_difference_that_all_items_share_is_judged_by_flipping_signs(items):
    found = compare_shift("x", "item", [-2.0] * items, [1.0] * items, worth=1)
    expected = stats.permutation_test(
        ([-2.0] * items,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval is None
    (judged,) = adjust([found])
    assert judged.different == (items == 12)


def test_samples_that_are_wholly_apart_are_judged_by_permuting_them():
    found = compare_samples("x", "sample", [0.0] * 5, [1.0] * 7, worth=0.05)
    expected = stats.permutation_test(
        ([0.0] * 5, [1.0] * 7), lambda a, b: np.mean(a) - np.mean(b), n_resamples=np.inf
    )
    assert found.p == pytest.approx(expected.pvalue)
    apart = compare_samples("x", "sample", [0.0] * 16, [1.0] * 16, worth=0.05)
    assert apart.p == pytest.approx(2 / math.comb(32, 16))
    assert apart.interval == pytest.approx((0.739, 1.0), abs=1e-3)
    assert adjust([apart])[0].different


def test_samples_of_one_other_value_each_have_a_p_and_no_interval():
    found = compare_samples("x", "sample", [0.2] * 6, [0.5] * 6, worth=0.05)
    assert found.p == pytest.approx(2 / math.comb(12, 6))
    assert found.interval is None
    same = compare_samples("x", "sample", [0.2] * 6, [0.2] * 6, worth=0.05)
    assert (same.p, same.interval) == (1.0, None)


def test_an_interval_for_two_shares_covers_also_where_one_of_them_is_nearly_nothing():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        first, second = generator.binomial(16, [0.02, 0.9])
        low, high = difference_of_shares(int(first), 16, int(second), 16)
        covered += low <= 0.88 <= high
    assert covered / 2000 > 0.93


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
