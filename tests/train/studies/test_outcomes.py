import json

import pytest

from train.settings.experiment import Experiment
from train.settings.options import Optimizer
from train.studies.arms import Arm, Block
from train.studies.outcomes import Result, compare_arms, read_result
from train.studies.trials import trial_folder

ARMS = (
    Arm("lcam", Optimizer()),
    Arm("sgd-0.9", Optimizer("sgd")),
    Arm("matched-step", Optimizer("sgd"), "step"),
)
BLOCK = Block("digits", Experiment(epochs=1), ARMS, "lcam")


def write_run(folder, arm, seed, *, diverged=False):
    """Writes what a run of one epoch leaves."""
    out = trial_folder(folder, BLOCK, ARMS[arm], seed)
    out.mkdir(parents=True)
    row = {"epoch": 1, "step": 1, "test_error": 5.0, "test_loss": 1.0, "seconds": 1.0}
    row |= {"train_loss": None if diverged else 1.0, "mean_momentum": 0.9}
    row |= {"low_loss_share": 0.5, "phase_switches": 1}
    (out / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    optimizer = vars(ARMS[arm].optimizer) | {"phases_of": None}
    config = {"optimizer": optimizer, "data_sha256": "0"}
    (out / "config.json").write_text(json.dumps(config))
    (out / "provenance.json").write_text('[{"commit": "c", "device": "cpu"}]')
    if not diverged:
        (out / "checkpoints" / "1").mkdir(parents=True)


def test_arms_that_lcam_left_nothing_to_match_did_not_diverge(tmp_path):
    for arm in range(3):
        write_run(tmp_path, arm, seed=0)
    write_run(tmp_path, 0, seed=1, diverged=True)
    write_run(tmp_path, 1, seed=1)
    result = read_result(BLOCK, [0, 1], tmp_path)
    assert result.seeds == [0, 1]
    assert result.diverged == {"lcam": [1]}
    assert result.unmatched == {"matched-step": [1]}
    assert list(result.runs) == ["sgd-0.9"]


def test_arm_that_borrows_is_unmatched_where_the_lender_diverged(tmp_path):
    block = BLOCK._replace(arms=(*ARMS[:2], Arm("borrowed", Optimizer(), "borrowed")))
    for seed in (0, 1):
        write_run(tmp_path, 0, seed, diverged=seed == 1)
        write_run(tmp_path, 1, seed)
    # Seed 0 borrows from 1, which diverged; 1 from 0, and is to come.
    result = read_result(block, [0, 1], tmp_path)
    assert result.seeds == [0]
    assert result.unmatched == {"borrowed": [0]}


def test_seed_is_not_whole_while_an_arm_that_matches_nothing_is_to_come(tmp_path):
    for arm in range(3):
        write_run(tmp_path, arm, seed=0)
    write_run(tmp_path, 0, seed=1, diverged=True)
    result = read_result(BLOCK, [0, 1], tmp_path)
    assert result.seeds == [0]
    assert result.diverged == result.unmatched == {}


def test_second_outcomes_are_corrected_for_the_first_as_well():
    def runs(numbers, areas):
        return [
            {"last_epochs_error": number, "last_error": number, "area": area}
            for number, area in zip(numbers, areas, strict=True)
        ]

    result = Result(
        BLOCK,
        [0, 1, 2],
        {
            "lcam": runs([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            # t = -2 sqrt(3): p = 0.0742 (see test_statistics); and t = 20 sqrt(3).
            "sgd-0.9": runs([-1.0, -2.0, -3.0], [19.0, 20.0, 21.0]),
        },
        {},
        {},
        {},
    )
    found = {each.outcome: each for each in compare_arms([result])}
    first, second = found["last_epochs_error"], found["area"]
    assert first.corrected_p == pytest.approx(0.0742, abs=1e-4)
    # The smaller of two p-values is doubled.
    assert second.corrected_p == pytest.approx(2 * second.difference.p_value)
