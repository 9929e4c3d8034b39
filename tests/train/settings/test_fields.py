import dataclasses

import pytest

from train.errors import InputError
from train.settings.cli import parse
from train.settings.commands import COMMANDS, Run
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model

# Without `run`, where it is the command; more in tests/train/test_first_contact.py.
REFUSED = {
    "--learning-rate inf": "--learning-rate .* got inf",
    "--ema-decay nan": "--ema-decay .* got nan",
    "--ema-decay 0.9999999999": "--ema-decay .* got 0.9999999999",  # 1 as float32
    "--optimizer adamw": "--optimizer must be sgd, .*; got 'adamw'. .* optax.adamw",
    "--optimizer optax.adamw --optimizer-options b1": "takes KEY=VALUE, got 'b1'",
    "--optimizer optax.adamw --optimizer-options b1=0 b1=1": "b1 stands there twice",
    "--optimizer optax.adamw --weight-decay 0 --optimizer-options weight-decay=0": (
        "weight_decay stands there twice"
    ),
    "--optimizer optax.sgd --optimizer-options learning-rate=1": "one rate is given by",
    "--optimizer-options b1=0.9": "lcam has --high-loss-momentum and",
    "--low-loss-share 0.7": "--low-loss-share belongs to .* chance",
    "--phase chance --low-loss-share 1": "share must be in",
    "--phase chance --loss-average epoch": "belongs to --phase examples, fixed or loss",
    "--phase shuffled": "--phases-of, .* belong together",
    "--phases-of runs/a": "belong together",
    "--optimizer sgd --margin 0.1": "--margin belongs .* lcam or .* sgd",
    "--optimizer optax.adamw --margin 0.1": "belongs .* another .* an option HIGH/LOW",
    "--schedule step --milestones 0 2": "must be at least 1, got 0",
    "--data-dir /data": "--data-dir belongs to .*cifar10",
    "--data english --flip True": "--flip belongs to images, .* tokens",
    "--widen 100000000": "--widen must be in",
    "--depth 4": "got 4",
    "--observe held_out --phase chance": "--observe held_out .* --phase chance",
    "--observe mechanism --optimizer optax.adamw": "--observe measures phases",
    "--coordinator here": "--coordinator must be HOST:PORT, .* or auto, got here",
    "--coordinator auto --process-id 0": "give all three, or at most auto",
    "--coordinator a:1 --num-processes 2": "give all three, or at most auto",
    "--coordinator a:1 --num-processes 2 --process-id 2": "from 0 to one below it",
    "study domains --data digits": "--data belongs to .* domains",
    "study baseline --data mnist": "--data must be",
    "study rates --network mlp": "--network belongs to .* rates",
    "study baseline --seeds 1 1": "--seeds must be different",
    "compare --seeds": "--seeds needs 1 or more, got 0",
    "compare --seeds 4294967296": "--seeds must be in",
    "compare --arms sgd optax.lion --observe mechanism": "--observe measures",
}


@pytest.mark.parametrize(("words", "message"), REFUSED.items(), ids=REFUSED)
def test_bad_option_is_refused_by_its_name(words, message):
    words = f"run {words}".removeprefix("run " * (not words.startswith("--")))
    with pytest.raises(InputError, match=message):
        parse(words.split(), COMMANDS)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (Optimizer("lcam"), 0.9),
        (Optimizer("lcam", phase="fixed"), 0.9),
        (Optimizer("lcam", ema_decay=0.5), 0.5),
        # Where no moving average decides, the number is that of all earlier runs.
        (Optimizer("sgd"), 0.99),
        (Optimizer("optax.adamw"), 0.99),
        (Optimizer("optax.adamw", optimizer_options=("b1=0.9/0.95",)), 0.9),
        (Optimizer("lcam", loss_average="epoch"), 0.99),
        (Optimizer("lcam", phase="chance"), 0.99),
    ],
)
def test_decay_is_the_librarys_where_a_moving_average_decides(optimizer, expected):
    assert optimizer.ema_decay == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Optimizer("sgd"), {"learning_rate": 0.1, "weight_decay": 5e-4}),
        (Optimizer("lcam"), {"learning_rate": 0.1, "weight_decay": 5e-4}),
        (Optimizer("optax.adamw"), {"learning_rate": 0.001, "weight_decay": None}),
        (Data("cifar10"), {"crop_padding": 4, "flip": True}),
        (Data("cifar100"), {"crop_padding": 4, "flip": True}),
        (Data("digits"), {"crop_padding": 0, "flip": False}),
        (Data("npz:mine.npz"), {"crop_padding": 0, "flip": False}),
        (
            Data("cifar10", crop_padding=0, flip=False),
            {"crop_padding": 0, "flip": False},
        ),
    ],
)
def test_defaults_follow_from_the_optimizer_and_the_data(options, expected):
    assert {name: getattr(options, name) for name in expected} == expected


def test_no_option_has_the_same_name_in_two_groups():
    # The command line leaves the groups' names out.
    names = [
        option.name
        for group in (Optimizer, Schedule, Data, Model, Run)
        for option in dataclasses.fields(group)
        if not (group is Run and dataclasses.is_dataclass(option.type))
    ]
    assert len(names) == len(set(names))
