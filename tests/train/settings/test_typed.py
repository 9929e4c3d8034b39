"""Commands that the program advises can be typed as they stand."""

import shlex
from pathlib import Path

import pytest

from train.settings.command_line import parse
from train.settings.commands import Compare
from train.settings.experiment import Experiment, Run
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model
from train.settings.presets import PRESETS
from train.settings.typed import compare_command, more_seeds_command

PREFIX = ["python", "-m", "train"]


def parsed(run):
    """What the program understands of the command that it advises."""
    words = shlex.split(compare_command(run))
    assert words[:3] == PREFIX
    return parse(words[3:])


def test_run_of_defaults_is_compared_in_few_words():
    assert compare_command(Run()) == (
        "python -m train compare --arms sgd lcam --seeds 0 1 2"
    )


def test_both_arms_have_the_options_that_both_know():
    run = Run(optimizer=Optimizer("lcam", learning_rate=0.2, low_loss_momentum=0.95))
    assert parsed(run).arms == (
        "sgd:learning-rate=0.2",
        "lcam:learning-rate=0.2,low-loss-momentum=0.95",
    )


def test_sgd_is_compared_with_lcam_and_stays_the_reference():
    assert parsed(Run(optimizer=Optimizer("sgd", momentum=0.5))).arms == (
        "sgd:momentum=0.5",
        "lcam",
    )


def test_adamw_and_sgd_have_learning_rates_of_their_own():
    run = Run(optimizer=Optimizer("adamw", learning_rate=0.01))
    assert parsed(run).arms == ("sgd", "adamw:learning-rate=0.01")


@pytest.mark.parametrize(
    "options",
    [
        {"data": Data("npz:my images.npz", flip=True, crop_padding=2, every=3)},
        {"data": Data("cifar10", flip=False, data_dir=Path("~/sets"))},
        {"model": Model("mlp", hidden=(5, 6)), "drop_last": False, "epochs": 7},
        {"model": Model("my nets/net.py:make")},
        {"model": Model(depth=16, widen=2, dtype="bfloat16"), "steps_per_call": 3},
        {"schedule": Schedule("step", milestones=(2, 4)), "test_epochs": 2},
    ],
)
def test_compared_are_runs_of_the_same_experiment(options):
    compare = parsed(Run(**options))
    for name in Experiment.__dataclass_fields__:
        assert getattr(compare, name) == getattr(Run(**options), name)


@pytest.mark.parametrize("name", PRESETS)
def test_published_runs_can_be_compared(name):
    assert parsed(PRESETS[name].run).epochs == PRESETS[name].run.epochs


def test_run_with_the_phases_of_another_is_not_compared():
    lender = Optimizer(phase="borrowed", phases_of=Path("runs/a"))
    assert compare_command(Run(optimizer=lender)) is None


@pytest.mark.parametrize(
    ("seeds", "more"), [((0,), (0, 1, 2)), ((1,), (1, 0, 2)), ((5, 0), (5, 0, 1))]
)
def test_comparison_goes_on_with_more_seeds(seeds, more):
    options = {"arms": ("sgd", "lcam:lagged=True"), "epochs": 3}
    options["data"] = Data("npz:my images.npz")
    command = more_seeds_command(Compare(seeds=seeds, **options), Path("my runs"))
    words = shlex.split(command)
    assert words[:3] == PREFIX
    assert parse(words[3:]) == Compare(
        seeds=more, out=Path("my runs"), resume=True, **options
    )


@pytest.mark.parametrize(
    "options", [{"keep_checkpoints": 1}, {"report": True}, {"compile_cache": False}]
)
def test_added_seeds_leave_what_the_others_left(options):
    out, comparison = Path("out"), Compare(budget=9, **options)
    again = parse(shlex.split(more_seeds_command(comparison, out))[len(PREFIX) :])
    assert again == Compare(seeds=(0, 1, 2), out=out, resume=True, **options)


def test_added_seeds_are_none_that_chose_the_rates():
    comparison = Compare(
        data=Data(validation=9), learning_rates=(0.1, 0.2), validation_seeds=(1, 3)
    )
    command = more_seeds_command(comparison, Path("out"))
    assert parse(shlex.split(command)[len(PREFIX) :]).seeds == (0, 2, 4)


def test_rates_to_choose_from_are_part_of_the_command():
    comparison = Compare(
        data=Data(validation=9), learning_rates=(0.1, 0.2), validation_seeds=(7,)
    )
    command = more_seeds_command(comparison, Path("out"))
    again = parse(shlex.split(command)[len(PREFIX) :])
    assert (again.learning_rates, again.validation_seeds) == ((0.1, 0.2), (7,))
    assert again.data.validation == 9
