"""Rows of studies, made by hand."""

from train.reports.rows import RunRows, StudyRows
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.studies.arms import Arm, Block
from train.studies.study import describe_study

ARMS = (
    Arm("lcam", Optimizer()),
    Arm("sgd-0.9", Optimizer("sgd")),
    Arm("matched-step", Optimizer("sgd"), "step"),
    Arm("borrowed", Optimizer(), "borrowed"),
)
BLOCK = Block("digits", Experiment(epochs=1), ARMS, "lcam")
OUTCOMES = ("last_epochs_error", "last_error", "area")


def epoch(number=1, error=5.0, *, diverged=False):
    """A row of `metrics.jsonl`."""
    return {
        "epoch": number,
        "train_loss": None if diverged else 0.5,
        "test_loss": 1.0,
        "test_error": error,
        "low_loss_share": 0.25,
        "phase_switches": 2,
        "mean_momentum": 0.9,
        "seconds": 1.5,
    }


def run(*errors, diverged=False, **facts):
    """A run with these test errors, an epoch each."""
    epochs = [
        epoch(number, error, diverged=diverged)
        for number, error in enumerate(errors or (5.0,), start=1)
    ]
    known = {"option_optimizer": "lcam", "option_learning_rate": 0.1}
    known |= {"commit": "c" * 40, "device": "cpu", "network": "MLP"}
    known |= {"num_parameters": 9, "num_test_predictions": 200, "data_sha256": "0" * 64}
    return RunRows(epochs, known | facts)


def study(runs, block=BLOCK, **about):
    """A study of one block; `runs` by arm and seed."""
    machine = {"commit": "c" * 40, "device": "cpu", "machine": "m", "cores": 2}
    machine |= {"python": "3", "versions": {"jax": "1"}}
    known = describe_study("ablation", "What matters?", [block], outcomes=OUTCOMES)
    known |= {"commands": [["python", "-m", "train"]], "environments": [machine]}
    keyed = {(block.name, arm, seed): each for (arm, seed), each in runs.items()}
    return StudyRows(known | about, keyed)
