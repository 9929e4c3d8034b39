import json

import numpy as np
import pytest

from tests.train.runs.test_faults import SIZES, contents, result, stop_at
from tests.train.two_classes import two_classes
from train.__main__ import main
from train.errors import InputError
from train.runs import records
from train.runs.folder import new_folder
from train.runs.loop import change_epochs
from train.settings.experiment import Run
from train.settings.optimizer import Optimizer, Schedule

STEPS = 4  # an epoch: 64 examples in batches of 16


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **two_classes(SIZES, channels=1, noise=200, contrast=50))
    sizes = ["--network", "mlp", "--hidden", "16", "--batch-size", "16"]
    return ["run", "--data", f"npz:{path}", *sizes, "--steps-per-call", "1"]


# One drop in what is trained first, and one in what comes after.
DROPS = ["--schedule", "step", "--milestones", "1", "3", "--warmup-epochs", "2.5"]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The result of five epochs at once."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.runs.drawing.plot_run", lambda folder: folder)
        assert main([*command, *DROPS, "--epochs", "5", "--out", str(out)]) == 0
    return result(out, 5 * STEPS)


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.usefixtures("no_pictures")
def test_run_with_more_epochs_equals_one_that_had_them_from_the_start(
    whole, command, tmp_path, monkeypatch, stopped
):
    out = tmp_path / "run"
    command = [*command, *DROPS, "--out", str(out)]
    with monkeypatch.context() as patch:
        if stopped:
            stop_at(patch, STEPS + 2)
        assert main([*command, "--epochs", "2"]) == (143 if stopped else 0)
    assert main([*command, "--epochs", "5", "--resume"]) == 0
    assert result(out, 5 * STEPS) == whole
    assert json.loads((out / "config.json").read_text())["epochs"] == 5
    assert json.loads((out / records.FINISHED).read_text()) == {"step": 5 * STEPS}


@pytest.mark.usefixtures("no_pictures")
def test_cosine_run_is_refused_more_epochs_and_stays_as_it_is(
    command, tmp_path, capsys
):
    command = [*command, "--out", str(tmp_path / "run")]
    assert main([*command, "--epochs", "1"]) == 0
    before = contents(tmp_path)
    assert main([*command, "--epochs", "2", "--resume"]) == 2
    assert "has trained 4 steps with --epochs 1" in capsys.readouterr().err
    assert contents(tmp_path) == before


def folder_of(out, done, **options):
    """The folder of a run of four epochs, as it is after `done` steps."""
    run = Run(epochs=4, out=out, **options)
    new_folder(out, "run", run)
    (out / "checkpoints" / str(done)).mkdir(parents=True)
    if done == 4 * STEPS:
        records.write_finished(out, done)
    return run


def changed(out, run, epochs):
    """Changes the epochs; returns those that the folder tells."""
    change_epochs(out, Run(**vars(run) | {"epochs": epochs}), STEPS)
    return json.loads((out / "config.json").read_text())["epochs"]


@pytest.mark.parametrize(
    ("schedule", "done", "epochs"),
    [
        (Schedule("constant"), 16, 9),
        (Schedule("constant", warmup_epochs=6.0), 16, 9),
        (Schedule("exponential", exponential_after=1), 16, 900),
        (Schedule("step", milestones=(2, 5)), 16, 9),
        (Schedule("step", milestones=(2, 5)), 9, 3),  # nine steps: the third epoch
        (Schedule("cosine"), 16, 4),
        (Schedule("cosine"), 1, 9),  # the first step has the peak
    ],
)
def test_epochs_change_if_what_is_trained_keeps_its_rates(
    tmp_path, schedule, done, epochs
):
    run = folder_of(tmp_path / "run", done, schedule=schedule)
    assert changed(tmp_path / "run", run, epochs) == epochs
    assert records.has_finished(tmp_path / "run") == (epochs == 4 and done == 16)


@pytest.mark.parametrize(
    ("options", "done", "epochs", "message"),
    [
        ({}, 2, 5, "has trained 2 steps with --epochs 4, .* With --epochs 5 they"),
        ({}, 2, 3, "--schedule cosine and --test-epochs go by"),
        ({"schedule": Schedule("constant")}, 9, 2, "9 steps .* they would be fewer"),
        (
            {"schedule": Schedule("constant"), "test_epochs": 1},
            16,
            5,
            "--test-epochs go by the last epoch",
        ),
        (
            {"schedule": Schedule("constant"), "test_epochs": 2},
            9,
            3,
            "--test-epochs go by the last epoch",
        ),
    ],
)
def test_epochs_that_would_change_what_is_trained_are_refused(
    tmp_path, options, done, epochs, message
):
    run = folder_of(tmp_path / "run", done, **options)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message):
        changed(tmp_path / "run", run, epochs)
    assert contents(tmp_path) == before


def test_finished_run_without_a_checkpoint_cannot_be_made_longer(tmp_path):
    run = folder_of(tmp_path / "run", 4 * STEPS, schedule=Schedule("constant"))
    (tmp_path / "run" / "checkpoints" / f"{4 * STEPS}").rmdir()
    with pytest.raises(InputError, match="finished with --epochs 4 and kept no check"):
        changed(tmp_path / "run", run, 5)


def test_phases_of_another_run_fix_the_epochs(tmp_path):
    borrowed = Optimizer(phase="borrowed", phases_of=tmp_path)
    assert (Run(optimizer=borrowed).changeable, Run().changeable) == ((), ("epochs",))
