"""Rows of studies, made by hand."""

from train.reports.rows import make_rows
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.studies.arms import Arm, Block
from train.studies.study import describe_study

ARMS = (
    Arm("lcam", Optimizer()),
    Arm("sgd-0.9", Optimizer("sgd")),
    Arm("matched-step", Optimizer("sgd"), "step"),
    Arm("borrowed", Optimizer(), "borrowed"),
    Arm("NA", Optimizer("sgd", momentum=0.5)),
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


def run(*errors, diverged=False, observed=None, **facts):
    """A run with these test errors, an epoch each: its rows, and its facts."""
    rows = [
        epoch(number, error, diverged=diverged)
        for number, error in enumerate(errors or (5.0,), start=1)
    ]
    if observed:  # of the first epoch
        rows[0]["observed"] = observed
    known = {"option_optimizer": "lcam", "option_learning_rate": 0.1}
    known |= {"commit": "c" * 40, "device": "cpu", "network": "MLP"}
    known |= {"num_parameters": 9, "num_test_predictions": 200, "data_sha256": "0" * 64}
    return rows, known | facts


def study(runs, block=BLOCK, **about):
    """A study of one block; `runs` by arm and seed."""
    machine = {"commit": "c" * 40, "device": "cpu", "machine": "m", "cores": 2}
    machine |= {"python": "3", "versions": {"jax": "1"}}
    known = describe_study("ablation", "What matters?", [block], OUTCOMES)
    known |= {"commands": [["python", "-m", "train"]], "environments": [machine]}
    keyed = {(block.name, arm, seed): each for (arm, seed), each in runs.items()}
    return make_rows(known | about, keyed)


def same(one, other):
    """Whether two studies are the same."""
    return one.about == other.about and all(
        ours.equals(theirs) for ours, theirs in zip(one[1:], other[1:], strict=True)
    )
