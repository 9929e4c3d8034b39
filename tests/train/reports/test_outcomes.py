import pytest

from tests.train.reports.written import ARMS, BLOCK, OUTCOMES, epoch, run, study
from train.reports.outcomes import (
    compare_arms,
    make_results,
    num_last_epochs,
    run_outcomes,
)


def test_outcomes_of_a_hand_table():
    rows = [epoch(n, e) for n, e in enumerate([50.0, 20.0, 8.0, 11.0, 5.0], 1)]
    assert run_outcomes(rows, (20.0, 4.0)) == {
        "last_error": 5.0,
        "last_epochs_error": 8.0,  # of 8, 11 and 5
        "area": pytest.approx(18.8),  # 94 / 5
        "train_loss": 0.5,
        "epochs_to_20": 2,
        "epochs_to_4": None,
        "low_loss_share": 0.25,
        "phase_switches": 2,
        "mean_momentum": 0.9,
        "seconds": 7.5,
    }


def test_phases_that_did_nothing_are_not_reported():
    [result] = make_results(study({("lcam", 0): run(), ("sgd-0.9", 0): run()}))
    shares = [runs[0]["low_loss_share"] for runs in result.runs.values()]
    assert shares == [0.25, None]


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
    assert list(result.runs) == ["sgd-0.9"]


def test_arm_that_borrows_is_unmatched_where_the_donor_diverged():
    runs = {("lcam", 0): run(), ("lcam", 1): run(diverged=True)}
    runs |= {("borrowed", 1): run()}
    [result] = make_results(study(runs))
    assert result.unmatched["borrowed"] == [0]


def test_each_comparison_takes_the_seeds_that_both_arms_have():
    runs = {("lcam", seed): run(float(seed)) for seed in range(5)}
    runs |= {("sgd-0.9", seed): run(seed + 1.0) for seed in (0, 1, 2, 9)}
    runs |= {("borrowed", seed): run(seed - 2.0) for seed in (3, 4)}
    found = compare_arms(make_results(study(runs)), OUTCOMES)
    found = {each.arm: each.difference for each in found if each.outcome == "area"}
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
    assert second.corrected_p == pytest.approx(2 * second.difference.p_value)
