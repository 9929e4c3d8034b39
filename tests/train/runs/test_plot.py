import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lcam_optax import Phase
from train.__main__ import main
from train.runs import drawing, records

LOSSES = [2.0, 1.5, 1.8, 1.0]
PHASES = [Phase.HIGH_LOSS, Phase.LOW_LOSS, Phase.HIGH_LOSS, Phase.LOW_LOSS]
AVERAGES = [2.0, 1.75, 1.77, 1.6]
MOMENTA = [0.9, 0.95, 0.9, 0.95]


def write_run(folder, *, adaptive=False, test_errors=(50.0, 40.0)):
    """Two epochs of two steps."""
    folder.mkdir()
    nothing = [float("nan")] * 4
    columns = [LOSSES] + (
        [nothing] * 3 if adaptive else [AVERAGES, [int(p) for p in PHASES], MOMENTA]
    )
    for epoch, test_error in enumerate(test_errors, start=1):
        row = {
            "epoch": epoch,
            "train_loss": 2.0 - 0.5 * epoch,
            "train_error": 60.0,
            "test_error": test_error,
            "mean_momentum": float("nan") if adaptive else 0.925,
        }
        records.append_metrics(folder, row)
    records.append_steps(folder, zip(range(1, 5), *columns, strict=True))
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, kept open."""
    figures = []
    monkeypatch.setattr(drawing, "save", lambda figure, path: figures.append(figure))
    yield figures
    plt.close("all")


def series(axes):
    """What an axes object shows: the points by their label."""
    return {
        line.get_label(): np.column_stack(line.get_data()).tolist()
        for line in axes.get_lines()
    }


def test_runs_share_the_upper_axes(tmp_path, drawn):
    folders = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", test_errors=(45.0, 30.0)),
    ]
    main(["plot", *map(str, folders), "--out", str(tmp_path / "figure.png")])
    errors, losses, *_ = drawn[0].axes
    assert errors.get_ylabel() == "test error (%)"
    assert series(errors) == {
        "a: 40": [[1, 50], [2, 40]],
        "b: 30": [[1, 45], [2, 30]],
    }
    assert series(losses) == {"a: 1": [[1, 1.5], [2, 1]], "b: 1": [[1, 1.5], [2, 1]]}
    colors = [line.get_color() for line in errors.get_lines()]
    assert len(set(colors)) == 2


def test_each_runs_steps_are_coloured_by_phase_beside_the_average(tmp_path, drawn):
    main(["plot", str(write_run(tmp_path / "a")), "--out", str(tmp_path / "x.png")])
    loss_axes, momentum_axes = drawn[0].axes[2:]
    # Two steps an epoch: they end at 0.5, 1, 1.5 and 2 epochs.
    assert series(loss_axes) == {
        "low-loss phase (50% of steps)": [[1, 1.5], [2, 1.0]],
        "high-loss phase (50% of steps)": [[0.5, 2.0], [1.5, 1.8]],
        "its average": [[0.5, 2.0], [1, 1.75], [1.5, 1.77], [2, 1.6]],
    }
    assert series(momentum_axes) == {
        "a step": [[0.5, 0.9], [1, 0.95], [1.5, 0.9], [2, 0.95]],
        "mean of the epoch": [[1, 0.925], [2, 0.925]],
    }


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path, drawn):
    for parent in ("first", "second"):
        (tmp_path / parent).mkdir()
    folders = [str(write_run(tmp_path / p / "seed0")) for p in ("first", "second")]
    main(["plot", *folders, "--out", str(tmp_path / "figure.png")])
    assert set(series(drawn[0].axes[0])) == {f"{folder}: 40" for folder in folders}


def test_run_that_diverged_at_once_is_drawn(tmp_path):
    folder = write_run(tmp_path / "a", test_errors=(float("nan"), float("nan")))
    rows = (folder / "steps.csv").read_text()
    for loss in LOSSES:
        rows = rows.replace(f",{loss},", ",nan,")
    (folder / "steps.csv").write_text(rows)
    assert main(["plot", str(folder), "--out", str(tmp_path / "x.png")]) == 0


def test_adamw_is_drawn_without_phase_and_momentum(tmp_path, drawn):
    folder = write_run(tmp_path / "a", adaptive=True)
    main(["plot", str(folder), "--out", str(tmp_path / "x.png")])
    loss_axes, momentum_axes = drawn[0].axes[2:]
    assert set(series(loss_axes)) == {"a step"}
    assert series(momentum_axes) == {}
    assert momentum_axes.texts[0].get_text() == "AdamW: none"


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_picture_is_written_where_asked_and_its_path_printed(tmp_path, capsys, ending):
    out = tmp_path / f"figure.{ending}"
    assert main(["plot", str(write_run(tmp_path / "a")), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"picture: {out}\n"
    assert out.stat().st_size > 1000


def test_default_picture_never_replaces_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(write_run(tmp_path / "a"))
    assert main(["plot", folder]) == main(["plot", folder]) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "figure.png",
        "figure-2.png",
    }


def no_run(folder):
    folder.mkdir()


def damaged_run(folder):
    write_run(folder)
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "tra')


def run_without_rows(folder):
    write_run(folder)
    (folder / "metrics.jsonl").write_text("")


def steps_of_something_else(folder):
    write_run(folder)
    (folder / "steps.csv").write_text("a,b\n1,2\n")


def rows_of_something_else(folder):
    write_run(folder)
    (folder / "metrics.jsonl").write_text(json.dumps([1]) + "\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "holds no run with a finished epoch"),
        (no_run, "holds no run with a finished epoch"),
        (damaged_run, "cannot read metrics.jsonl"),
        (run_without_rows, "cannot read metrics.jsonl"),
        (steps_of_something_else, "cannot read metrics.jsonl"),
        (rows_of_something_else, "cannot read metrics.jsonl"),
    ],
)
def test_folder_that_holds_no_run_gives_one_message(tmp_path, capsys, make, message):
    make(tmp_path / "a")
    assert main(["plot", str(tmp_path / "a"), "--out", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("taken.png", "exists: name a new file"),
        ("nowhere/x.png", "there is no folder"),
        ("figure.csv", "must end in .png, .pdf or .svg"),
    ],
)
def test_picture_that_cannot_be_written_gives_one_message(
    tmp_path, capsys, out, message
):
    (tmp_path / "taken.png").write_text("precious")
    folder = str(write_run(tmp_path / "a"))
    assert main(["plot", folder, "--out", str(tmp_path / out)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "taken.png").read_text() == "precious"


def test_plot_needs_runs_that_differ(tmp_path, capsys):
    folder = str(write_run(tmp_path / "a"))
    assert main(["plot"]) == main(["plot", folder, folder]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "needs the folder of one run" in lines[0]
    assert "needs different runs" in lines[1]
