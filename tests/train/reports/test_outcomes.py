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
    found = {each.arm: each for each in found if each.outcome == "area"}
    assert (found["sgd-0.9"].mean, found["sgd-0.9"].num_seeds) == (1.0, 3)
    assert (found["borrowed"].mean, found["borrowed"].num_seeds) == (-2.0, 2)


def test_second_outcomes_are_corrected_for_the_first_as_well():
    runs = {("lcam", seed): run(0.0, 0.0) for seed in range(3)}
    # The last epoch: t = -2 sqrt(3), p = 0.0742 (see test_statistics). The mean of both
    # is 19, 20 and 21: t = 20 sqrt(3).
    for seed, last in enumerate((-1.0, -2.0, -3.0)):
        runs["sgd-0.9", seed] = run(2 * (19 + seed) - last, last)
    results = make_results(study(runs))
    found = {
        each.outcome: each for each in compare_arms(results, ("last_error", "area"))
    }
    first, second = found["last_error"], found["area"]
    assert first.corrected_p == pytest.approx(0.0742, abs=1e-4)
    # The smaller of two p-values is doubled.
    assert second.corrected_p == pytest.approx(2 * second.p_value)


CLEAR = Comparison("", "a", "b", "area", -2.0, 0.5, 0.001, 5, 0.75, 0.002)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (
            CLEAR,
            "-2.00 points, 95 % interval -2.50 to -1.50 (5 seeds), p = 0.002: better",
        ),
        (CLEAR._replace(mean=2.0), ": worse"),
        (
            CLEAR._replace(corrected_p=0.06),
            "p = 0.06: can't tell which is better (a true difference of 0.75 would be "
            "seen 4 times in 5)",
        ),
        (
            CLEAR._replace(corrected_p=0.06, detectable=1e4),
            "a true difference of 100.00 would",
        ),
        (
            CLEAR._replace(corrected_p=math.nan),
            "all differences equal: can't tell which is better",
        ),
        (
            CLEAR._replace(num_seeds=1),
            "with one seed, which is no evidence: it takes 3 or more",
        ),
    ],
)
def test_verdict_is_in_plain_words(comparison, expected):
    assert expected in comparison.sentence
