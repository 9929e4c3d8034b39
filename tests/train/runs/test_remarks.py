"""What is said of a run: that its phase hardly changes, and what it came to."""

import sys
from pathlib import Path

import pytest

from train.runs import records
from train.runs.remarks import oddity, summarize
from train.settings.experiment import Run
from train.settings.optimizer import Optimizer


def row(share, steps=100, loss=1.0):
    about = {"epoch": 2, "step": 2 * steps, "train_loss": loss}
    return about | {"low_loss_share": share}


def lcam(**options):
    return Optimizer("lcam", low_loss_momentum=0.95, ema_decay=0.99, **options)


ADAMW = {"optimizer_options": ("b1=0.9/0.8",)}


@pytest.mark.parametrize(
    ("share", "optimizer", "parts"),
    [
        (1.0, lcam(), ["100 % of the steps of epoch 2 were in the low-loss phase"]),
        (0.98, lcam(), ["98 % ", "SGD with momentum 0.95", "--ema-decay below 0.99"]),
        (0.0, lcam(), ["high-loss phase", "momentum 0.9.", "smaller --learning-rate"]),
        (1.0, lcam(margin=0.1), ["a smaller --margin"]),
        (1.0, Optimizer("lcam", loss_average="epoch"), ["try --loss-average ema"]),
        (1.0, Optimizer("optax.adamw", **ADAMW), ["so adamw had a fixed b1 of 0.8."]),
    ],
)
def test_phase_that_hardly_changes_is_told_with_what_to_change(share, optimizer, parts):
    text = oddity(row(share), Run(optimizer=optimizer), 1.0)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("row", "optimizer"),
    [
        (row(0.97), lcam()),
        (row(0.03), lcam()),
        (row(1.0, steps=9), lcam()),
        (row(1.0), Optimizer("sgd")),
        (row(None), Optimizer("optax.adamw")),
        (row(1.0), lcam(high_loss_momentum=0.95)),
        (row(1.0), Optimizer("lcam", phase="chance", low_loss_share=0.99)),
    ],
    ids=["97 %", "3 %", "few steps", "sgd", "adamw", "equal", "chance"],
)
def test_nothing_is_told_where_phases_change_or_do_not_matter(row, optimizer):
    assert oddity(row, Run(optimizer=optimizer), 1.0) is None


@pytest.mark.parametrize("optimizer", [lcam(), Optimizer("sgd")], ids=["lcam", "sgd"])
@pytest.mark.parametrize(
    ("loss", "shown"),
    [(2.1, "2.1000"), (6.5e14, "6.5e+14"), (float("nan"), "not finite")],
)
def test_loss_that_grew_is_told_and_no_phase_is_blamed(optimizer, loss, shown):
    assert oddity(row(1.0, loss=loss), Run(optimizer=optimizer), 1.0) == (
        f"note: the training loss grew, from 1.0000 in the first step to {shown} in "
        "epoch 2. Try a smaller --learning-rate, --warmup-epochs or --clip-norm."
    )


@pytest.mark.parametrize(("loss", "batch_size"), [(1.9, 64), (9.0, 2)])
def test_loss_that_chance_may_have_made_has_not_grown(loss, batch_size):
    config = Run(optimizer=Optimizer("sgd"), batch_size=batch_size)
    assert oddity(row(None, loss=loss), config, 1.0) is None


# --- The summary ----------------------------------------------------------------------


def epoch(number, loss, error, share, switches, seconds):
    return {
        **{"epoch": number, "train_loss": loss, "test_error": error},
        **{"low_loss_share": share, "phase_switches": switches, "seconds": seconds},
    }


ROWS = [epoch(1, 2.0, 50.0, 0.5, 1, 20.0), epoch(2, 1.23456, 12.345, 0.9, 4, 45.0)]


@pytest.fixture
def summary(tmp_path, monkeypatch):
    """The lines for rows, and options of the optimizer."""
    python = str(Path(sys.executable).with_name("python"))
    monkeypatch.setattr("shutil.which", lambda _: python)

    def make(rows, optimizer="lcam", table=(), **options):
        for row in rows:
            records.append_metrics(tmp_path, row)
        config = Run(optimizer=Optimizer(optimizer, **options))
        return summarize(config, tmp_path, dict(table), tmp_path / "curves.png")

    return make


def test_summary_has_the_result_the_phases_the_folder_and_what_is_next(
    summary, tmp_path
):
    assert summary(ROWS) == [
        "test error 12.35 %, training loss 1.2346 after 2 epochs in 0:01:05",
        "low-loss phase in 70% of the steps, 5 switches",
        f"folder: {tmp_path}",
        f"picture: {tmp_path / 'curves.png'}",
        "next: python -m train compare --arms sgd lcam --seeds 0 1 2",
    ]


@pytest.mark.parametrize(
    ("ours", "options", "arms", "has_phases"),
    [
        ("sgd", {}, "sgd lcam", False),
        ("optax.adamw", {}, "sgd optax.adamw", False),
        ("optax.adamw", ADAMW, "optax.adamw:b1=0.9 optax.adamw:b1=0.9/0.8", True),
        (
            *("lcam", {"learning_rate": 0.5, "margin": 0.1, "nesterov": True}),
            "sgd:learning-rate=0.5,nesterov=True "
            "lcam:learning-rate=0.5,margin=0.1,nesterov=True",
            True,
        ),
        (
            *("sgd", {"clip_norm": 2, "momentum": 0.5}),
            *("sgd:clip-norm=2,momentum=0.5 lcam:clip-norm=2", False),
        ),
    ],
)
def test_next_is_a_comparison_with_what_it_differs_from_in_one_thing(
    summary, ours, options, arms, has_phases
):
    lines = summary(ROWS, ours, **options)
    assert f" compare --arms {arms} --seeds" in lines[-1]
    assert lines[1].startswith("low-loss phase in 70%") == has_phases


def test_run_with_the_phases_of_another_is_not_compared(summary):
    lines = summary(ROWS, phase="borrowed", phases_of=Path("runs/a"))
    assert not any(line.startswith("next: ") for line in lines)


def test_error_of_a_number_is_told_in_its_units(summary):
    table = {"target": "price", "mean": 300.0, "std": 80.0}
    rows = [epoch(1, 2.0, 25.0, 0.5, 1, 20.0)]
    first, second, *_ = summary(rows, table=table)
    assert first.startswith("test error 25.00 % of the variance, training loss")
    assert second == "RMSE in price 40"


def test_one_is_not_several(summary):
    first, second, *_ = summary(ROWS[:1])
    assert "after 1 epoch in" in first
    assert second.endswith(", 1 switch")


def test_run_without_a_test_has_its_loss(summary):
    rows = [{name: cell for name, cell in ROWS[0].items() if name != "test_error"}]
    assert summary(rows)[0] == "training loss 2.0000 after 1 epoch in 0:00:20"


def test_loss_that_is_not_finite_is_called_so(summary):
    assert summary([ROWS[0] | {"train_loss": float("nan")}])[0].startswith(
        "test error 50.00 %, training loss not finite after"
    )
