import dataclasses

import pytest

from train.errors import InputError
from train.settings.experiment import Experiment, Run
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experiment(epochs=10**24), "--epochs must be at most 1,000,000"),
        (
            lambda: Run(observe="held_out", optimizer=Optimizer(phase="chance")),
            "--observe held_out .* --phase chance",
        ),
        (
            lambda: Run(observe="mechanism", optimizer=Optimizer("adamw")),
            "--observe measures phases",
        ),
        (lambda: Experiment(epochs=0), "--epochs must be at least 1, got 0"),
        (lambda: Experiment(batch_size=0), "--batch-size must be at least 1"),
        (
            lambda: Experiment(eval_batch_size=-1),
            "--eval-batch-size must be",
        ),
        (lambda: Experiment(steps_per_call=0), "--steps-per-call must be at least 1"),
        (lambda: Run(seed=-1), r"--seed must be in \[0, 2\^32\), got -1"),
        (lambda: Run(resume=True), "--resume needs --out"),
        (lambda: Run(checkpoint_every=-1), "--checkpoint-every must be at least 0"),
    ],
)
def test_bad_option_is_refused_by_its_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_no_option_has_the_same_name_in_two_groups():
    # The command line leaves the groups' names out.
    names = [
        option.name
        for group in (Optimizer, Schedule, Data, Model, Experiment)
        for option in dataclasses.fields(group)
        if not (group is Experiment and option.name in ("data", "model", "schedule"))
    ]
    assert len(names) == len(set(names))
