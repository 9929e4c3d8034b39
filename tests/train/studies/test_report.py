import pytest

from train.settings.experiment import Experiment
from train.settings.options import Optimizer
from train.studies.arms import Arm, Block
from train.studies.outcomes import num_last_epochs, run_outcomes
from train.studies.report import conclusion
from train.studies.statistics import Difference


def rows(errors):
    return [
        {
            "epoch": epoch,
            "test_error": error,
            "train_loss": 0.5,
            "low_loss_share": 0.25,
            "phase_switches": 2,
            "mean_momentum": 0.9,
            "seconds": 1.5,
        }
        for epoch, error in enumerate(errors, 1)
    ]


def test_outcomes_of_a_hand_table():
    found = run_outcomes(rows([50.0, 20.0, 8.0, 11.0, 5.0]), (20.0, 4.0), switches=True)
    assert found == {
        "last_error": 5.0,
        "last_epochs_error": 8.0,  # of 8, 11 and 5
        "area": pytest.approx(18.8),  # 94 / 5
        "train_loss": 0.5,
        "epochs_to_20": 2,
        "epochs_to_4": None,
        "low_loss_share": 0.25,
        "phase_switches": 2,
        "mean_momentum": 0.9,
        "seconds": 7.5,
    }


def test_phases_that_did_nothing_are_not_reported():
    assert run_outcomes(rows([1.0]), (), switches=False)["low_loss_share"] is None


@pytest.mark.parametrize(("epochs", "last"), [(1, 1), (3, 3), (12, 3), (150, 15)])
def test_last_epochs_are_a_tenth_and_at_least_three(epochs, last):
    assert num_last_epochs(epochs) == last


class _Against:
    def __init__(self, mean, corrected_p):
        self.difference = Difference(mean, 0.1, 0.01, 5, None)
        self.corrected_p = corrected_p


BLOCK = Block("digits", Experiment(), (Arm("lcam", Optimizer()),), "lcam")
BEATEN, WORSE, OPEN = _Against(1.0, 0.01), _Against(-1.0, 0.01), _Against(1.0, 0.06)


@pytest.mark.parametrize(
    ("comparisons", "words"),
    [
        (
            (BEATEN, BEATEN, BEATEN),
            "**LCAM is better than matched-step, chance, shuffled.** Judged by "
            "`shuffled`, the moments that the loss chose are better",
        ),
        (
            (OPEN, BEATEN, BEATEN),
            "**LCAM is better than chance, shuffled; not told apart from "
            "matched-step.** Judged by `shuffled`, the moments",
        ),
        (
            (BEATEN, WORSE, OPEN),
            "**LCAM is better than matched-step; worse than chance; not told apart "
            "from shuffled.** Judged by `shuffled`, nothing here shows",
        ),
        (
            (OPEN, OPEN, BEATEN, OPEN),
            "**LCAM is better than shuffled; not told apart from matched-step, chance, "
            "borrowed.** Judged by `borrowed`, nothing here shows",
        ),
    ],
)
def test_conclusion_asks_every_control(comparisons, words):
    names = ("matched-step", "chance", "shuffled", "borrowed")
    assert words in conclusion(BLOCK, dict(zip(names, comparisons, strict=False)))


def test_without_controls_there_is_no_conclusion():
    assert conclusion(BLOCK, {"sgd-0.9": BEATEN}) is None
