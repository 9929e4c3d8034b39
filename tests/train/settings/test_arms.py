import dataclasses

import pytest

from train.errors import InputError
from train.settings.arms import at_rate, parse_arm, parse_arms
from train.settings.optimizer import Optimizer


def test_arms_that_are_the_same_are_refused():
    with pytest.raises(InputError, match="are the same"):
        parse_arms(("lcam:margin=0.1", "lcam: margin = 0.1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lcam:optimizer=sgd", "optimizer stands there twice"),
        ("lcam:", "expected OPTION=VALUE, as in sgd:mom.*, got ''"),
        ("lcam:margin=0:lagged=True", "put a comma between options"),
        ("lcam:lagged=maybe", "--lagged is True or False, or stands alone"),
        ("lcam:phase=chance,margin=0", "--margin belongs to --phase examples"),
    ],
)
def test_arm_that_cannot_be_used_is_refused(text, message):
    with pytest.raises(InputError, match=f"^--arms {text}: .*{message}"):
        parse_arm(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optax.adamw", Optimizer("optax.adamw")),
        # What sgd has an option for is here the optimizer's own.
        (
            "optax.sgd:momentum=0.5/0.9,learning-rate=0.1,lagged=True",
            Optimizer("optax.sgd", ("momentum=0.5/0.9",), 0.1, lagged=True),
        ),
        ("a/b.py:make:beta_1=2", Optimizer("a/b.py:make", ("beta-1=2",))),
        ("sgd:momentum=0.95", Optimizer("sgd", momentum=0.95)),
        (
            "lcam:low-loss-momentum=0.5,lagged=True,loss_average=epoch",
            Optimizer(low_loss_momentum=0.5, lagged=True, loss_average="epoch"),
        ),
    ],
)
def test_arm_is_an_optimizer_with_its_options(text, expected):
    assert parse_arm(text) == expected


@pytest.mark.parametrize("arm", ["sgd", "sgd:momentum=0", "a.py:make", "a.py:make:b=1"])
def test_arm_gets_another_rate(arm):
    expected = dataclasses.replace(parse_arm(arm), learning_rate=0.5)
    assert parse_arm(at_rate(arm, 0.5)) == expected
