import math

import numpy as np
import pandas as pd
import pytest

from train.reports.statistics import compare_family, dunnett_tail, estimate, holm


def family(reference, **arms):
    """Comparisons of arms, each a list of numbers by seed, with a reference."""
    return compare_family(pd.DataFrame({"reference": reference} | arms), "reference")


def test_difference_of_a_hand_table():
    # Differences -1, -2, -3: mean -2, deviation 1; Student's t for 2 degrees of
    # freedom at 97.5 % is 4.303 (printed tables): half-width 4.303 / sqrt(3) = 2.484.
    # At 95 % it is 2.920. t = -2 sqrt(3) = -3.464; two-sided, 2 degrees: 1 - t /
    # sqrt(t^2 + 2) = 0.0742. Of two runs, each spreads by 1 / sqrt(2).
    found = family([2.0, 3.0, 4.0], arm=[1.0, 1.0, 1.0])["arm"]
    assert found.mean == -2
    assert found.half_width == pytest.approx(2.484, abs=1e-3)
    assert found.half_width_90 == pytest.approx(2.920 / math.sqrt(3), abs=1e-3)
    assert found.p_value == pytest.approx(1 - 3.4641 / math.sqrt(14), abs=1e-4)
    assert found.num_seeds == 3
    assert found.deviation == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(
    ("freedom", "critical"),
    [
        (5, (2.57, 3.03, 3.29, 3.48, 3.62)),
        (10, (2.23, 2.57, 2.76, 2.89, 2.99)),
        (60, (2.00, 2.27, 2.41, 2.51, 2.58)),
    ],
)
def test_critical_values_are_those_of_dunnetts_tables(freedom, critical):
    # Dunnett, 1964, "New tables for multiple comparisons with a control", 5 %.
    for number, value in enumerate(critical, start=1):
        assert dunnett_tail(value - 0.005, number, freedom) > 0.05
        assert dunnett_tail(value + 0.005, number, freedom) < 0.05


def test_arms_that_spread_alike_share_the_spread_of_the_two_way_table():
    # Left when the means of arms and seeds are taken out: 1, -1, 0 and its like, so
    # that the sum of squares is 6, with 3 * 2 degrees of freedom.
    noise = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [0] * 3])
    numbers = (
        noise + np.array([[10.0], [20.0], [30.0], [5.0]]) + np.array([0.0, 3.0, 5.0])
    )
    found = family(numbers[:, 0], a=numbers[:, 1], b=numbers[:, 2])
    assert found["a"].method == "two-way"
    assert found["a"].deviation == pytest.approx(1)
    # Dunnett's value for two arms and 6 degrees of freedom is 2.86 (his tables).
    assert found["a"].half_width == pytest.approx(2.86 * math.sqrt(2 / 4), abs=0.005)
    assert found["b"].half_width == found["a"].half_width
    assert found["b"].mean == pytest.approx(5)


def test_arms_that_spread_otherwise_have_intervals_of_their_own():
    narrow = [0.01, -0.01, 0.02, -0.02, 0.0]
    found = family([0.0] * 5, narrow=narrow, wide=[9.0, -8.0, 7.0, -6.0, 5.0])
    assert found["narrow"].method == "paired"
    # Student's t for 4 degrees of freedom at 98.75 %, for two arms: 3.495.
    expected = 3.495 * np.std(narrow, ddof=1) / math.sqrt(5)
    assert found["narrow"].half_width == pytest.approx(expected, rel=1e-3)


def test_arm_without_a_seed_is_compared_over_the_others():
    found = family([0.0, 1.0, 2.0], a=[1.0, 2.5, 2.9], b=[math.nan, 5.0, 6.1])
    assert found["b"].num_seeds == 2
    assert found["b"].mean == pytest.approx(4.05)
    assert {each.method for each in found.values()} == {"paired"}


def test_summary_of_a_hand_table():
    # 1, 2, 3: the half-width is 4.303 / sqrt(3), as above.
    assert estimate([1.0, 2.0, 3.0]) == (2.0, 1.0, pytest.approx(2.484, abs=1e-3))


def test_one_seed_has_no_interval():
    found = family([3.0], arm=[1.0])["arm"]
    assert (found.mean, found.num_seeds) == (-2, 1)
    assert math.isnan(found.half_width)
    assert math.isnan(found.p_value)


def test_equal_differences_are_no_certainty():
    found = family([1.0, 2.0, 3.0], arm=[1.1, 2.1, 3.1])["arm"]
    assert math.isnan(found.p_value)
    assert math.isnan(found.half_width)


def alone(deviation, seeds):
    """The comparison of one arm, its differences of this deviation."""
    numbers = np.linspace(-1, 1, seeds)
    numbers *= deviation / np.std(numbers, ddof=1)
    return family(np.zeros(seeds), arm=numbers)["arm"]


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_detectable_difference_is_that_of_the_tables(effect, seeds):
    # Cohen's tables for one sample, two-sided 0.05, power 0.8 (also G*Power): so many
    # seeds find the effect, one fewer does not.
    assert alone(1.0, seeds).detectable <= effect < alone(1.0, seeds - 1).detectable


@pytest.mark.parametrize("seeds", [3, 6])
def test_detectable_difference_of_a_family_is_found_four_times_in_five(seeds):
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(rng.normal(size=(seeds, 5)), columns=[*"rabcd"])
    found = compare_family(runs, "r")["a"]
    # Other families with such a spread: the first arm is that much higher.
    drawn = rng.normal(scale=found.deviation, size=(20_000, seeds, 5))
    drawn[..., 1] += found.detectable
    left = drawn - drawn.mean(axis=1, keepdims=True) - drawn.mean(axis=2, keepdims=True)
    left += drawn.mean(axis=(1, 2), keepdims=True)
    error = np.sqrt((left**2).sum(axis=(1, 2)) / (4 * (seeds - 1)) * 2 / seeds)
    t = (drawn[..., 1] - drawn[..., 0]).mean(axis=1) / error
    critical = found.half_width / (found.deviation * math.sqrt(2 / seeds))
    # The standard error of the share is 0.003.
    assert np.mean(np.abs(t) > critical) == pytest.approx(0.8, abs=0.012)


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
