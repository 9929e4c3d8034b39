import dataclasses
from pathlib import Path

import pytest

from train.errors import InputError
from train.settings.commands import Compare, Run, Study
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimizer(learning_rate=0.0), "--learning-rate must be greater"),
        (lambda: Optimizer(learning_rate=float("inf")), "--learning-rate .* got inf"),
        (lambda: Optimizer(weight_decay=-1.0), "--weight-decay must be at least 0"),
        (lambda: Optimizer("sgd", momentum=1.5), r"--momentum .* \[0, 1\), got 1.5"),
        (lambda: Optimizer(high_loss_momentum=1.0), "--high-loss-momentum .* got 1"),
        (lambda: Optimizer(low_loss_momentum=-0.1), "--low-loss-momentum .* got -0.1"),
        (lambda: Optimizer(ema_decay=float("nan")), "--ema-decay .* got nan"),
        (lambda: Optimizer(margin=-0.5), r"--margin must be at least 0, got -0.5"),
        (lambda: Optimizer(ema_decay=0.9999999999), "--ema-decay .* got 0.9999999999"),
        (lambda: Optimizer(loss_average="epoch", ema_decay=0.5), "--ema-decay belongs"),
        (lambda: Optimizer("adamw", adam_b2=1.0), "--adam-b2 must be in"),
        (lambda: Optimizer("adamw", adam_epsilon=0.0), "--adam-epsilon must be"),
        (
            lambda: Optimizer(low_loss_share=0.7),
            "--low-loss-share belongs to .* chance",
        ),
        (
            lambda: Optimizer(phase="chance", loss_average="epoch"),
            "belongs to --phase examples, fixed or loss",
        ),
        (lambda: Optimizer(phase="chance", low_loss_share=1.0), "share must be in"),
        (lambda: Optimizer(phase="shuffled"), "--phases-of, .* belong together"),
        (lambda: Optimizer(phases_of=Path("runs/a")), "belong together"),
        (lambda: Optimizer("sgd", margin=0.1), "--margin belongs .* lcam or .* sgd"),
        (
            lambda: Optimizer("adamw", margin=0.1),
            "adamw with --high-loss-b1 .* adamw[.]",
        ),
        (lambda: Optimizer("adamw", low_loss_b1=0.9), "needs --high-loss-b1"),
        (
            lambda: Optimizer("adamw", high_loss_b1=0.9, low_loss_b1=1.0),
            r"--low-loss-b1 must be in \[0, 1\), got 1",
        ),
        (
            lambda: Optimizer("adamw", adam_b1=0.8, high_loss_b1=0.9, low_loss_b1=0.9),
            "--adam-b1 belongs .* with --optimizer adamw with --high-loss-b1 and",
        ),
        (
            lambda: Optimizer(high_loss_b1=0.9, low_loss_b1=0.95),
            "b1 belongs to .* adamw",
        ),
        (lambda: Optimizer("adamw", nesterov=True), "--nesterov .*lcam or sgd"),
        (lambda: Optimizer(momentum=0.8), "--momentum belongs to --optimizer sgd"),
        (
            lambda: Schedule("step", milestones=(3, 3)),
            "--milestones must be different, got 3 3",
        ),
        (lambda: Schedule("step", milestones=(0, 2)), "must be at least 1, got 0"),
        (lambda: Schedule(milestone_factor=0.5), "factor belongs to .* step"),
        (lambda: Schedule(warmup_epochs=-1.0), "--warmup-epochs must be at least 0"),
        (lambda: Data(data_dir=Path("/data")), "--data-dir belongs to .*cifar10"),
        (lambda: Data(crop_padding=10**6), "--crop-padding must be in"),
        (lambda: Data(crop_padding=-1), "--crop-padding must be in"),
        (lambda: Data("english", flip=True), "--flip belongs to images, .* tokens"),
        (lambda: Data(shrink=0), "--shrink must be at least 1"),
        (lambda: Data("mnist"), "--data must be digits, .*cifar10, .* got 'mnist'"),
        (lambda: Model(widen=10**8), "--widen must be in"),
        (lambda: Model(widen=0), r"--widen must be in \[1, .* got 0"),
        (lambda: Model(depth=11), r"--depth must be 6n \+ 4: 10, 16, .* got 11"),
        (lambda: Model(depth=4), "got 4"),
        (lambda: Experiment(epochs=10**24), "--epochs must be at most 1,000,000"),
        (lambda: Experiment(epochs=0), "--epochs must be at least 1, got 0"),
        (lambda: Experiment(eval_batch_size=-1), "--eval-batch-size must be"),
        (lambda: Experiment(steps_per_call=0), "--steps-per-call must be at least 1"),
        (
            lambda: Run(observe="held_out", optimizer=Optimizer(phase="chance")),
            "--observe held_out .* --phase chance",
        ),
        (
            lambda: Run(observe="mechanism", optimizer=Optimizer("adamw")),
            "--observe measures phases",
        ),
        (lambda: Run(seed=-1), r"--seed must be in \[0, 2\^32\), got -1"),
        (lambda: Run(resume=True), "--resume needs --out"),
        (lambda: Run(checkpoint_every=-1), "--checkpoint-every must be at least 0"),
        (lambda: Study(name="domains", data="digits"), "--data belongs to .* domains"),
        (lambda: Study(name="baseline", data="mnist"), "--data must be"),
        (lambda: Study(name="rates", network="mlp"), "--network belongs to .* rates"),
        (lambda: Study(name="baseline", budget=0.0), "--budget must be"),
        (lambda: Study(name="baseline", seeds=(1, 1)), "--seeds must be different"),
        (lambda: Compare(arms=("sgd",)), "--arms needs 2 or more, got 1"),
        (lambda: Compare(arms=("sgd", "sgd")), "--arms must be different"),
        (lambda: Compare(seeds=()), "--seeds needs 1 or more, got 0"),
        (lambda: Compare(seeds=(2**32,)), "--seeds must be in"),
        (lambda: Compare(arms=("sgd", "adamw"), observe="mechanism"), "--observe mea"),
    ],
)
def test_bad_option_is_refused_by_its_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (Optimizer("lcam"), 0.9),
        (Optimizer("lcam", phase="fixed"), 0.9),
        (Optimizer("lcam", ema_decay=0.5), 0.5),
        # Where no moving average decides, the number is that of all earlier runs.
        (Optimizer("sgd"), 0.99),
        (Optimizer("adamw"), 0.99),
        (Optimizer("lcam", loss_average="epoch"), 0.99),
        (Optimizer("lcam", phase="chance"), 0.99),
    ],
)
def test_decay_is_the_librarys_where_a_moving_average_decides(optimizer, expected):
    assert optimizer.ema_decay == expected


@pytest.mark.parametrize(
    ("optimizer", "learning_rate", "weight_decay"),
    [("sgd", 0.1, 5e-4), ("lcam", 0.1, 5e-4), ("adamw", 0.001, 0.01)],
)
def test_learning_rate_and_weight_decay_default_by_optimizer(
    optimizer, learning_rate, weight_decay
):
    config = Optimizer(optimizer)
    assert (config.learning_rate, config.weight_decay) == (learning_rate, weight_decay)


@pytest.mark.parametrize(
    ("data", "crop_padding", "flip"),
    [("cifar10", 4, True), ("cifar100", 4, True), ("digits", 0, False)],
)
def test_augmentation_defaults_by_data(data, crop_padding, flip):
    config = Data(data)
    assert (config.crop_padding, config.flip) == (crop_padding, flip)


def test_augmentation_of_cifar_can_be_switched_off():
    config = Data("cifar10", crop_padding=0, flip=False)
    assert (config.crop_padding, config.flip) == (0, False)


def test_no_option_has_the_same_name_in_two_groups():
    # The command line leaves the groups' names out.
    names = [
        option.name
        for group in (Optimizer, Schedule, Data, Model, Run)
        for option in dataclasses.fields(group)
        if not (group is Run and dataclasses.is_dataclass(option.type))
    ]
    assert len(names) == len(set(names))
