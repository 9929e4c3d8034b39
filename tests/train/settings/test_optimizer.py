from pathlib import Path

import pytest

from train.errors import InputError
from train.settings.optimizer import Optimizer, Schedule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Optimizer(learning_rate=0.0),
            "--learning-rate must be greater",
        ),
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
        (
            lambda: Optimizer("adamw", adam_epsilon=0.0),
            "--adam-epsilon must be",
        ),
        (
            lambda: Optimizer(low_loss_share=0.7),
            "--low-loss-share belongs to --phase chance",
        ),
        (
            lambda: Optimizer(phase="chance", loss_average="epoch"),
            "--loss-average belongs to --phase examples, fixed or loss",
        ),
        (
            lambda: Optimizer(phase="chance", low_loss_share=1.0),
            "--low-loss-share must be in",
        ),
        (lambda: Optimizer(phase="shuffled"), "--phases-of, .* belong together"),
        (lambda: Optimizer(phases_of=Path("runs/a")), "belong together"),
        (
            lambda: Optimizer("sgd", margin=0.1),
            "--margin belongs to --optimizer lcam or adamw",
        ),
        (
            lambda: Optimizer("adamw", margin=0.1),
            "--margin belongs to adamw with --high-loss-b1",
        ),
        (lambda: Optimizer("adamw", low_loss_b1=0.9), "belong together"),
        (
            lambda: Optimizer("adamw", high_loss_b1=0.9, low_loss_b1=1.0),
            r"--low-loss-b1 must be in \[0, 1\), got 1",
        ),
        (
            lambda: Optimizer("adamw", adam_b1=0.8, high_loss_b1=0.9, low_loss_b1=0.9),
            "--adam-b1 belongs to both phases",
        ),
        (
            lambda: Optimizer(high_loss_b1=0.9, low_loss_b1=0.95),
            "--high-loss-b1 belongs to --optimizer adamw",
        ),
        (
            lambda: Optimizer("adamw", nesterov=True),
            "--nesterov .*lcam or sgd",
        ),
        (lambda: Optimizer(momentum=0.8), "--momentum belongs to --optimizer sgd"),
        (
            lambda: Schedule("step", milestones=(3, 2)),
            "--milestones must be",
        ),
        (lambda: Schedule("step", milestones=(0, 2)), "epochs from 1 to .*, got 0 2"),
        (
            lambda: Schedule(milestone_factor=0.5),
            "factor belongs to .* step",
        ),
        (lambda: Schedule(warmup_epochs=-1.0), "--warmup-epochs must be at least 0"),
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
