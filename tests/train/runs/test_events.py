import errno
import importlib.util
import signal

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.train.runs.test_faults import stop_at
from train.__main__ import main
from train.data.sources import load_dataset
from train.errors import InputError
from train.runs import records
from train.runs.events import TAGS, Events
from train.settings.commands import Study
from train.studies.catalogue import make_blocks

FIRST = {
    **{"epoch": 1, "step": 22, "train_loss": 0.3, "train_error": 12.5},
    **{"low_loss_share": 0.75, "high_loss_share": 0.25, "phase_switches": 3},
    **{"mean_momentum": 0.92, "learning_rate": 0.1},
    **{"images_per_second": 1000.0, "seconds": 4.0},
}
SECOND = FIRST | {"epoch": 2, "step": 44, "train_loss": 0.2, "test_error": 6.25}


def shown(folder):
    """What TensorBoard shows: by tag, the steps and numbers."""
    board = EventAccumulator(str(folder))
    board.Reload()
    return {
        tag: [(event.step, event.value) for event in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
    }


def expected(rows):
    """The same from rows of `metrics.jsonl`, as float32."""
    charts = {}
    for row in rows:
        for column, tag in TAGS.items():
            if row.get(column) is not None:
                number = float(np.float32(row[column]))
                charts.setdefault(tag, []).append((row["step"], number))
    return charts


def write(folder, *rows, done=0):
    with Events(folder, done) as events:
        for row in rows:
            events.write(row)


def test_charts_hold_the_numbers_of_the_rows_by_step(tmp_path):
    write(tmp_path, FIRST, SECOND)
    charts = shown(tmp_path)
    assert charts["train/loss"] == [(22, np.float32(0.3)), (44, np.float32(0.2))]
    assert charts["test/error"] == [(44, 6.25)]  # no test after the first epoch
    assert charts["epoch"] == [(22, 1), (44, 2)]
    assert charts == expected([FIRST, SECOND])


def test_what_is_no_number_is_left_out_and_arrays_are_taken_apart(tmp_path):
    seen = {"misread": 0.5, "cosine": [[0.25, None], [1.0, 2.0]]}
    nothing = {"train_loss": float("nan"), "phase_switches": None}
    write(tmp_path, FIRST | nothing | {"observed": seen})
    charts = shown(tmp_path)
    assert not {"train/loss", "phase/switches"} & charts.keys()
    assert {tag: chart for tag, chart in charts.items() if "observed" in tag} == {
        "observed/misread": [(22, 0.5)],
        "observed/cosine/0/0": [(22, 0.25)],
        "observed/cosine/1/0": [(22, 1.0)],
        "observed/cosine/1/1": [(22, 2.0)],
    }


def test_rows_that_were_dropped_vanish_from_a_board_that_is_open(tmp_path):
    write(tmp_path, FIRST, SECOND)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    again = SECOND | {"train_loss": 0.5}
    write(tmp_path, again, done=FIRST["step"])
    board.Reload()
    losses = [(22, np.float32(0.3)), (44, 0.5)]
    assert [(e.step, e.value) for e in board.Scalars("train/loss")] == losses
    assert shown(tmp_path) == expected([FIRST, again])


TRAIN = [
    *("run", "--network", "mlp", "--hidden", "4", "--epochs", "3", "--tensorboard"),
    *("--steps-per-call", "1", "--checkpoint-minutes", "0", "--quiet"),
]


@pytest.mark.usefixtures("no_pictures")
def test_resumed_run_shows_what_its_metrics_hold(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 30)  # in the second of 22 steps
        assert main([*TRAIN, "--out", str(out)]) == 128 + signal.SIGTERM
    assert len(shown(out)["epoch"]) == 1
    assert main([*TRAIN, "--out", str(out), "--resume"]) == 0
    rows = records.read_metrics(out)
    assert len(rows) == 3
    assert shown(out) == expected(rows)
    assert f"charts: tensorboard --logdir {out}" in capsys.readouterr().out


def test_missing_package_is_told_with_what_to_install(monkeypatch, capsys):
    find = importlib.util.find_spec
    hidden = {"tensorboardX": None}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: hidden.get(name, name and find(name))
    )
    for command in (["run"], ["compare"], ["study", "ablation"]):
        assert main([*command, "--tensorboard"]) == 2
        assert "`pip install tensorboardX` installs it." in capsys.readouterr().err


def test_full_disk_is_told_in_one_message(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboardX.RecordWriter.flush", fail)
    with pytest.raises(InputError, match=f"cannot write into {tmp_path}: No space"):
        Events(tmp_path, 0)


def test_all_runs_of_a_study_write_events_if_asked():
    study = Study(name="ablation", quick=True, tensorboard=True)
    blocks = make_blocks(study, load_dataset)
    assert all(block.experiment.tensorboard for block in blocks)
