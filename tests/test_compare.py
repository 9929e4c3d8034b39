import math

import pytest

from train.compare import paired_difference, parse_arm, parse_arms
from train.config import Optimizer
from train.errors import InputError


def test_paired_difference_of_a_hand_table():
    # Differences -1, -2, -3: mean -2, deviation 1; Student's t for 2 degrees of
    # freedom at 97.5 % is 4.303 (printed tables): half-width 4.303 / sqrt(3) = 2.484.
    difference = paired_difference([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    assert difference.mean == -2
    assert difference.half_width == pytest.approx(2.484, abs=1e-3)
    assert str(difference).endswith(
        "-4.48 to +0.48 (3 seeds): can't tell which is better"
    )


@pytest.mark.parametrize(
    ("errors", "verdict"), [([1.0, 1.2], "better"), ([9.0, 9.2], "worse")]
)
def test_clear_difference_gets_a_verdict(errors, verdict):
    assert str(paired_difference(errors, [5.0, 5.1])).endswith(f": {verdict}")


def test_equal_differences_are_no_certainty():
    assert "can't tell" in str(paired_difference([1.0, 2.0], [2.0, 3.0]))


@pytest.mark.parametrize(
    "texts", [("sgd", "sgd:momentum=0.9"), ("lcam:margin=0.1", "lcam: margin = 0.1")]
)
def test_arms_that_are_the_same_are_refused(texts):
    with pytest.raises(InputError, match="are the same"):
        parse_arms(texts)


@pytest.mark.parametrize(
    "text", ["lcam:optimizer=sgd", "lcam:help=", "lcam:margn=1", "lcam:margin"]
)
def test_unknown_option_of_an_arm_is_refused(text):
    with pytest.raises(InputError, match=rf"--arms {text}: expected OPTION=VALUE"):
        parse_arm(text)


def test_one_seed_is_no_evidence():
    difference = paired_difference([1.0], [2.0])
    assert math.isnan(difference.half_width)
    assert str(difference) == "-1.00 points with one seed, which is no evidence"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("adamw", Optimizer("adamw")),
        ("sgd:momentum=0.95", Optimizer("sgd", momentum=0.95)),
        (
            "lcam:low-loss-momentum=0.5,lagged=True,loss_average=epoch",
            Optimizer(low_loss_momentum=0.5, lagged=True, loss_average="epoch"),
        ),
    ],
)
def test_arm_is_an_optimizer_with_its_options(text, expected):
    assert parse_arm(text) == expected
