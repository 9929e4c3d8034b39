import pytest

from train.runs.folder import config_as_json
from train.runs.palette import ARM_COLORS, kind_of
from train.settings.arms import parse_arm
from train.settings.optimizer import Optimizer


@pytest.mark.parametrize(
    ("arm", "kind"),
    [
        ("sgd", "sgd"),
        ("sgd:momentum=0.95", "sgd"),
        ("sgd:learning-rate=0.01", "sgd"),
        ("lcam", "lcam"),
        ("lcam:low-loss-momentum=0.95", "lcam"),
        ("lcam:low-loss-momentum=0.9", "sgd"),
        ("lcam:low-loss-momentum=0.8", "lcam-reversed"),
        ("lcam:phase=chance,low-loss-share=0.7", "chance"),
        ("lcam:phase=fixed", "signal"),
        ("lcam:lagged=True", "timing"),
        ("lcam:loss-average=epoch", "timing"),
        ("lcam:margin=0.1", "average"),
        ("adamw", "adamw"),
        ("adamw:high-loss-b1=0.9,low-loss-b1=0.95", "adamw"),
    ],
)
def test_options_tell_the_kind_of_an_arm(arm, kind):
    assert kind_of(arm, config_as_json(parse_arm(arm))) == kind


@pytest.mark.parametrize(
    ("arm", "kind"),
    [
        ("sgd-0.9", "sgd"),
        ("lcam-reversed", "lcam-reversed"),
        ("matched-step", "matched-step"),
        ("borrowed", "borrowed"),
        ("twin", "borrowed"),
        ("run", "lcam"),
    ],
)
def test_without_options_the_name_tells(arm, kind):
    assert kind_of(arm, {}) == kind


def test_controls_are_told_by_their_names():
    options = config_as_json(Optimizer("sgd"))
    assert kind_of("matched-step", options) == "matched-step"
    assert kind_of("mean-momentum", options) == "mean-momentum"


def test_no_two_kinds_share_a_colour():
    assert len(set(ARM_COLORS.values())) == len(ARM_COLORS)
