import pytest

from train.__main__ import main
from train.errors import InputError
from train.settings.optimizer import Optimizer
from train.studies.compare import parse_arm, parse_arms


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


def test_arm_that_does_not_go_with_an_option_is_refused_before_any_run(
    tmp_path, capsys
):
    command = ["compare", "--arms", "sgd", "adamw", "--observe", "mechanism"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "--observe watches phases" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
