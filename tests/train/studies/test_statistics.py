import math

import numpy as np
import pytest
import scipy.stats

from train.studies.statistics import (
    Difference,
    holm,
    paired_difference,
    seeds_needed,
    summarize,
    verdict,
)


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
    assert summarize([1.0, 2.0, 3.0]) == (2.0, 1.0, pytest.approx(2.484, abs=1e-3))


def test_one_seed_has_no_interval():
    difference = paired_difference([1.0], [3.0])
    assert difference.mean == -2
    assert math.isnan(difference.half_width)
    assert math.isnan(difference.p_value)


def test_equal_differences_are_no_certainty():
    difference = paired_difference([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])
    assert math.isnan(difference.p_value)
    assert difference.seeds_needed is None


@pytest.mark.parametrize("sizes", [(2, 3), (0, 0)])
def test_numbers_without_pairs_are_refused(sizes):
    with pytest.raises(ValueError, match=r"pairs are needed, got \d and \d"):
        paired_difference([1.0] * sizes[0], [1.0] * sizes[1])


@pytest.mark.parametrize(
    ("effect", "expected"),
    [  # Cohen's tables for one sample, two-sided 0.05, power 0.8 (also G*Power)
        (0.2, 199),
        (0.5, 34),
        (0.8, 15),
        (-0.8, 15),
        (0.0, None),
        (0.01, None),
    ],
)
def test_seeds_needed_are_those_of_the_tables(effect, expected):
    assert seeds_needed(effect) == expected


def test_more_comparisons_need_more_seeds():
    # Effect 2. The seeds named find it 4 times in 5 in simulation, one fewer does not.
    numbers, reference = [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]
    alone = paired_difference(numbers, reference)
    among_five = paired_difference(numbers, reference, comparisons=5)
    rng = np.random.default_rng(0)
    for difference, level in ((alone, 0.05), (among_five, 0.01)):
        for seeds, suffices in (
            (difference.seeds_needed, True),
            (difference.seeds_needed - 1, False),
        ):
            samples = rng.normal(2.0, 1.0, (20_000, seeds))
            found = scipy.stats.ttest_1samp(samples, 0.0, axis=1).pvalue < level
            assert (np.mean(found) >= 0.8) == suffices
    assert among_five.seeds_needed > alone.seeds_needed


def test_power_is_what_simulation_gives():
    rng = np.random.default_rng(0)
    samples = rng.normal(0.8, 1.0, (4000, 15))
    found = scipy.stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05
    assert 0.78 < np.mean(found) < 0.85  # 15 seeds, as the table says


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


CLEAR = Difference(-2.0, 0.5, 0.001, 5, 3)


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (
            CLEAR,
            0.002,
            "-2.00 points, 95 % interval -2.50 to -1.50 (5 seeds), p = 0.002: better",
        ),
        (CLEAR._replace(mean=2.0), 0.002, ": worse"),
        (
            CLEAR,
            0.06,
            "p = 0.06: can't tell which is better; if the difference is this large, "
            "3 seeds would show it (4 times in 5)",
        ),
        (CLEAR._replace(seeds_needed=None), 0.06, "more than 1000 seeds"),
        (CLEAR, float("nan"), "all differences equal: can't tell which is better"),
        (CLEAR._replace(num_seeds=1), 0.0, "with one seed, which is no evidence"),
    ],
)
def test_verdict_is_in_plain_words(difference, p, expected):
    assert expected in verdict(difference, p, unit="points")
