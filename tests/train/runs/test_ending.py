"""What is said of a run that has finished."""

from pathlib import Path

import pytest

from train.runs import records
from train.runs.ending import summarize
from train.settings.experiment import Run
from train.settings.optimizer import Optimizer

ROWS = [
    {
        "epoch": 1,
        "train_loss": 2.0,
        "test_error": 50.0,
        "low_loss_share": 0.5,
        "phase_switches": 1,
        "seconds": 20.0,
    },
    {
        "epoch": 2,
        "train_loss": 1.23456,
        "test_error": 12.345,
        "low_loss_share": 0.9,
        "phase_switches": 4,
        "seconds": 45.0,
    },
]


@pytest.fixture
def summary(tmp_path):
    """The lines for rows, and options of the run."""

    def make(rows, optimizer="lcam", **options):
        for row in rows:
            records.append_metrics(tmp_path, row)
        picture = tmp_path / "curves.png"
        config = Run(optimizer=Optimizer(optimizer, **options))
        return summarize(config, tmp_path, picture)

    return make


def test_summary_has_the_result_the_phases_the_folder_and_what_is_next(
    summary, tmp_path
):
    assert summary(ROWS) == [
        "test error 12.35 %, training loss 1.2346 after 2 epochs in 0:01:05",
        "low-loss phase in 70% of the steps, 5 switches",
        f"folder: {tmp_path}",
        f"picture: {tmp_path / 'curves.png'}",
        "next: the same with compare --arms sgd lcam --seeds 0 1 2 in place of run",
    ]


@pytest.mark.parametrize(
    ("ours", "arms"),
    [("sgd", "sgd lcam"), ("lcam", "sgd lcam"), ("adamw", "sgd adamw")],
)
def test_next_is_a_comparison_with_sgd_or_of_it(summary, ours, arms):
    assert f"the same with compare --arms {arms} --seeds" in summary(ROWS, ours)[-1]


def test_run_with_the_phases_of_another_is_not_compared(summary):
    lines = summary(ROWS, phase="borrowed", phases_of=Path("runs/a"))
    assert not any(line.startswith("next: ") for line in lines)


def test_one_is_not_several(summary):
    first, second, *_ = summary(ROWS[:1])
    assert "after 1 epoch in" in first
    assert second.endswith(", 1 switch")


def test_optimizer_without_phases_has_none_in_the_summary(summary):
    assert not any("low-loss phase" in line for line in summary(ROWS, "sgd"))


def test_adamw_by_phase_has_its_phases_in_the_summary(summary):
    lines = summary(ROWS, "adamw", high_loss_b1=0.9, low_loss_b1=0.95)
    assert lines[1] == "low-loss phase in 70% of the steps, 5 switches"


def test_run_without_a_test_has_its_loss(summary):
    rows = [{name: cell for name, cell in ROWS[0].items() if name != "test_error"}]
    assert summary(rows)[0] == "training loss 2.0000 after 1 epoch in 0:00:20"


def test_loss_that_is_not_finite_is_called_so(summary):
    assert summary([ROWS[0] | {"train_loss": float("nan")}])[0].startswith(
        "test error 50.00 %, training loss not finite after"
    )
