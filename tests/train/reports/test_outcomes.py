import math

import pandas as pd
import pytest

from tests.train.reports.written import ARMS, BLOCK, OUTCOMES, run, study
from train.reports.outcomes import (
    Comparison,
    compare_arms,
    make_results,
    num_last_epochs,
)
from train.reports.statistics import Difference


def test_outcomes_of_a_hand_table():
    block = BLOCK._replace(reach=(20.0, 4.0))
    errors = [50.0, 20.0, 8.0, 11.0, 5.0]
    [result] = make_results(study({("lcam", 0): run(*errors)}, block))
    found = result.runs.iloc[0].to_dict()
    assert pd.isna(found["epochs_to_4"])
    known = {
        "last_error": 5.0,
        "last_epochs_error": 8.0,  # of 8, 11 and 5
        "area": pytest.approx(18.8),  # 94 / 5
        "train_loss": 0.5,
        "epochs_to_20": 2,
        "low_loss_share": 0.25,
        "phase_switches": 2,
        "mean_momentum": 0.9,
        "seconds": 7.5,
    }
    assert {name: found[name] for name in known} == known


def test_phases_that_did_nothing_are_not_reported():
    [result] = make_results(study({("lcam", 0): run(), ("sgd-0.9", 0): run()}))
    lcam, sgd = result.runs.low_loss_share
    assert lcam == 0.25
    assert math.isnan(sgd)


@pytest.mark.parametrize(("epochs", "last"), [(1, 1), (3, 3), (12, 3), (150, 15)])
def test_last_epochs_are_a_tenth_and_at_least_three(epochs, last):
    assert num_last_epochs(epochs) == last


def test_arms_that_lcam_left_nothing_to_match_did_not_diverge():
    runs = {(arm.name, 0): run() for arm in ARMS[:3]}
    runs |= {("lcam", 1): run(diverged=True), ("sgd-0.9", 1): run()}
    block = BLOCK._replace(arms=ARMS[:3])
    [result] = make_results(study(runs, block))
    assert result.diverged == {"lcam": [1]}
    assert result.unmatched == {"matched-step": [1]}
    assert list(result.arms) == ["sgd-0.9"]


def test_arm_that_borrows_is_unmatched_where_the_donor_diverged():
    runs = {("lcam", 0): run(), ("lcam", 1): run(diverged=True)}
    runs |= {("borrowed", 1): run()}
    [result] = make_results(study(runs))
    assert result.unmatched["borrowed"] == [0]


def test_arm_is_not_lost_to_a_seed_that_nobody_asked_for():
    runs = {("lcam", 0): run(diverged=True)}  # 1, which borrows from it, is no seed
    runs |= {(arm, s): run() for arm in ("lcam", "borrowed") for s in (2, 3)}
    [result] = make_results(study(runs))
    assert "borrowed" in result.arms


def test_each_comparison_takes_the_seeds_that_both_arms_have():
    runs = {("lcam", seed): run(float(seed)) for seed in range(5)}
    runs |= {("sgd-0.9", seed): run(seed + 1.0) for seed in (0, 1, 2, 9)}
    runs |= {("borrowed", seed): run(seed - 2.0) for seed in (3, 4)}
    found = compare_arms(make_results(study(runs)), OUTCOMES)
    found = {each.arm: each.found for each in found if each.outcome == "area"}
    shown = {arm: (each.mean, each.num_seeds) for arm, each in found.items()}
    assert shown == {"sgd-0.9": (1.0, 3), "borrowed": (-2.0, 2)}


@pytest.mark.parametrize(
    ("error", "tests", "margin"),
    [(48.2, 200, 1.0), (4.0, 1000, 0.4), (0.87, 1000, 0.1), (0.87, 200, 0.5)],
)
def test_margin_is_a_tenth_of_the_error_a_point_at_most_and_an_example(
    error, tests, margin
):
    runs = {("lcam", 0): run(error, num_test_predictions=tests), ("sgd-0.9", 0): run()}
    [found] = compare_arms(make_results(study(runs)), ("area",))
    assert found.margin == pytest.approx(margin, rel=0.2)
    [found] = compare_arms(make_results(study(runs)), ("area",), 0.3)
    assert found.margin == 0.3


def compared(mean, half_width, half_width_90, p_value=0.01, num_seeds=5):
    """A comparison with a margin of 1 point."""
    numbers = mean, half_width, half_width_90, p_value, num_seeds, 0.75, 0.3, "paired"
    return Comparison("", "a", "b", "area", 1.0, Difference(*numbers))


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (compared(0.0, 0.0, 0.0, math.nan), "identical"),
        (compared(0.5, math.nan, math.nan, math.nan), "undecided"),
        (compared(-2.0, 0.5, 0.3), "better, by more than 1 point"),
        (compared(2.0, 0.5, 0.3), "worse, by more than 1 point"),
        (compared(-1.2, 1.1, 0.8), "better"),
        (compared(0.5, 0.4, 0.3), "worse, by less than 1 point"),
        (compared(0.1, 1.2, 0.8, 0.8), "equal within 1 point"),
        (compared(0.3, 1.2, 0.8, 0.8), "undecided"),
        (compared(0.3, 0.0, 0.0, math.nan, 1), "one seed: no evidence"),
    ],
)
def test_verdict_follows_from_the_intervals_and_the_margin(comparison, verdict):
    assert comparison.verdict == verdict


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (
            compared(-2.0, 0.5, 0.3),
            "-2.00 points, 95 % interval -2.50 to -1.50 (5 seeds), p = 0.01: better, "
            "by more than 1 point",
        ),
        (
            compared(0.3, 1.2, 0.8, 0.6),
            "p = 0.6: undecided (at most 0.90 better, at most 1.50 worse; 0.75 would "
            "have been found 4 times in 5)",
        ),
        (
            compared(0.3, math.nan, math.nan, math.nan),
            "+0.30 points (5 seeds, all alike): undecided",
        ),
        (
            compared(0.3, math.nan, math.nan, math.nan, 1),
            "+0.30 points with one seed, which is no evidence: it takes 3 or more",
        ),
    ],
)
def test_sentence_has_the_numbers_and_what_is_left_open(comparison, expected):
    assert comparison.sentence.endswith(expected)
