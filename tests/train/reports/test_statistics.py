import math

import numpy as np
import pytest
import scipy.stats

from train.reports.statistics import detectable, estimate, holm, paired_difference


def test_paired_difference_of_a_hand_table():
    # Differences -1, -2, -3: mean -2, deviation 1; Student's t for 2 degrees of
    # freedom at 97.5 % is 4.303 (printed tables): half-width 4.303 / sqrt(3) = 2.484.
    # t = -2 sqrt(3) = -3.464; two-sided, 2 degrees: 1 - t / sqrt(t^2 + 2) = 0.0742.
    difference = paired_difference([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    assert difference.mean == -2
    assert difference.half_width == pytest.approx(2.484, abs=1e-3)
    assert difference.p_value == pytest.approx(1 - 3.4641 / math.sqrt(14), abs=1e-4)
    assert difference.num_seeds == 3


def test_summary_of_a_hand_table():
    # 1, 2, 3: the half-width is 4.303 / sqrt(3), as above.
    assert estimate([1.0, 2.0, 3.0]) == (2.0, 1.0, pytest.approx(2.484, abs=1e-3))


def test_one_seed_has_no_interval():
    difference = paired_difference([1.0], [3.0])
    assert difference.mean == -2
    assert math.isnan(difference.half_width)
    assert math.isnan(difference.p_value)


def test_equal_differences_are_no_certainty():
    difference = paired_difference([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])
    assert math.isnan(difference.p_value)
    assert math.isnan(difference.detectable)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_detectable_difference_is_that_of_the_tables(effect, seeds):
    # Cohen's tables for one sample, two-sided 0.05, power 0.8 (also G*Power): so many
    # seeds find the effect, one fewer does not.
    assert detectable(1.0, seeds) <= effect < detectable(1.0, seeds - 1)


def test_detectable_difference_grows_with_the_deviation():
    assert detectable(3.0, 7) == pytest.approx(3 * detectable(1.0, 7))


@pytest.mark.parametrize(("comparisons", "level"), [(1, 0.05), (5, 0.01)])
@pytest.mark.parametrize("seeds", [2, 4, 12])
def test_detectable_difference_is_found_four_times_in_five(seeds, comparisons, level):
    # Any numbers of deviation 1: what is simulated has the same.
    numbers = np.linspace(-1, 1, seeds)
    numbers /= np.std(numbers, ddof=1)
    found = paired_difference(numbers, np.zeros(seeds), comparisons=comparisons)
    rng = np.random.default_rng(0)
    samples = rng.normal(found.detectable, 1.0, (20_000, seeds))
    p_values = scipy.stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    # The standard error of the share is 0.003.
    assert np.mean(p_values < level) == pytest.approx(0.8, abs=0.012)


def test_holm_of_a_hand_table():
    # Sorted 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04; a
    # corrected value is never below the one before it: 0.02, 0.03, 0.06, 0.06.
    np.testing.assert_allclose(
        holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
    )


def test_holm_ends_at_one_and_counts_what_is_unknown():
    corrected = holm([0.9, float("nan"), 0.01])
    np.testing.assert_allclose(corrected, [1.0, float("nan"), 0.03])


def test_holm_keeps_the_level_of_the_family():
    # Five true null hypotheses: any of them is called significant in at most 5 %.
    rng = np.random.default_rng(0)
    p_values = rng.uniform(size=(4000, 5))
    false_alarms = [min(holm(row)) < 0.05 for row in p_values]
    assert 0.03 < np.mean(false_alarms) < 0.06
