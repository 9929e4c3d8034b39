import pytest

from train.runs.phases import same_phase
from train.settings.optimizer import Optimizer


def row(share, steps=100):
    return {"epoch": 2, "step": 2 * steps, "low_loss_share": share}


def lcam(**options):
    return Optimizer("lcam", low_loss_momentum=0.95, ema_decay=0.99, **options)


@pytest.mark.parametrize(
    ("share", "optimizer", "parts"),
    [
        (1.0, lcam(), ["100 % of the steps of epoch 2 were in the low-loss phase"]),
        (
            0.98,
            lcam(),
            ["98 % ", "SGD with momentum 0.95", "an --ema-decay below 0.99"],
        ),
        (0.0, lcam(), ["high-loss phase", "momentum 0.9.", "smaller --learning-rate"]),
        (1.0, lcam(margin=0.1), ["a smaller --margin"]),
        (1.0, Optimizer("lcam", loss_average="epoch"), ["try --loss-average ema"]),
        (
            1.0,
            Optimizer("adamw", high_loss_b1=0.9, low_loss_b1=0.8, ema_decay=0.9),
            ["so AdamW had a fixed b1 of 0.8."],
        ),
    ],
)
def test_phase_that_hardly_changes_is_told_with_what_to_change(share, optimizer, parts):
    text = same_phase(row(share), optimizer)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("row", "optimizer"),
    [
        (row(0.97), lcam()),
        (row(0.03), lcam()),
        (row(1.0, steps=9), lcam()),
        (row(1.0), Optimizer("sgd")),
        (row(None), Optimizer("adamw")),
        (row(1.0), lcam(high_loss_momentum=0.95)),
        (row(1.0), Optimizer("lcam", phase="chance", low_loss_share=0.99)),
    ],
    ids=["97 %", "3 %", "few steps", "sgd", "adamw", "equal", "chance"],
)
def test_nothing_is_told_where_phases_change_or_do_not_matter(row, optimizer):
    assert same_phase(row, optimizer) is None
