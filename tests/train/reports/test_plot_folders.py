from dataclasses import replace

import pytest

from tests.train.reports.written import BLOCK, run, study
from tests.train.runs.test_plot import (
    LOSSES,
    series,
    shown_ticks,
    write_about,
    write_run,
)
from train.__main__ import main
from train.reports.outcomes import write_tables
from train.runs.palette import ARM_COLORS


def write_study(folder, **about):
    """Two arms with two seeds of two epochs, as a report has them."""
    block = BLOCK._replace(experiment=replace(BLOCK.experiment, epochs=2))
    runs = {
        ("lcam", 0): run(8.0, 4.0),
        ("lcam", 1): run(4.0, 0.0),
        ("sgd-0.9", 0): run(10.0, 5.0),
        ("sgd-0.9", 1): run(10.0, 5.0),
    }
    write_tables(folder, study(runs, block, **about))
    return folder


def plot(*folders, out):
    return main(["plot", *map(str, folders), "--out", str(out)])


def test_runs_share_the_upper_axes(tmp_path, drawn):
    folders = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", test_errors=(45.0, 30.0)),
    ]
    plot(*folders, out=tmp_path / "figure.png")
    errors, losses, *_ = drawn[0].subfigs[0].axes
    assert errors.get_ylabel() == "test error"
    assert series(errors) == {
        "a: 40.00 %": [[1, 50], [2, 40]],
        "b: 30.00 %": [[1, 45], [2, 30]],
    }
    assert list(series(losses).values()) == [[[1, 1.5], [2, 1]]] * 2


def test_all_panels_have_the_same_epochs(tmp_path, drawn):
    short = write_run(tmp_path / "b", test_errors=(50.0,))
    plot(write_run(tmp_path / "a", adaptive=True), short, out=tmp_path / "x.png")
    plot(short, out=tmp_path / "y.png")
    ticks = [[shown_ticks(axes) for axes in f.subfigs[0].axes] for f in drawn]
    assert ticks == [[[1, 2]] * 4, [[1]] * 4]


def test_arms_are_drawn_beside_runs(tmp_path, drawn):
    a = write_about(write_run(tmp_path / "a"), "sgd", data="0" * 64)
    plot(a, write_study(tmp_path / "b"), out=tmp_path / "figure.png")
    arms, steps = drawn[0].subfigs
    # One wrong test example of 200 is 0.5 %: 0 is drawn at half of that.
    assert series(arms.axes[0]) == {
        "a: 40.00 %": [[1, 50], [2, 40]],
        "b, lcam: 2.00 %": [[1, 6], [2, 2]],
        "b, sgd-0.9: 5.00 %": [[1, 10], [2, 5]],
    }
    lowest = min(
        c.get_datalim(arms.axes[0].transData).y0 for c in arms.axes[0].collections
    )
    assert lowest == 0.25
    colors = [line.get_color() for line in arms.axes[0].get_lines()]
    assert colors == [ARM_COLORS[kind] for kind in ("sgd", "lcam", "sgd")]
    assert (
        "lines: mean of 1 to 2 seeds; bands: lowest to highest" in arms.get_suptitle()
    )
    assert steps.get_suptitle() == "a"


def test_other_data_have_axes_of_their_own(tmp_path, drawn):
    a = write_about(write_run(tmp_path / "a"), data="digits")
    b = write_about(write_run(tmp_path / "b"), data="diabetes", num_tests=None)
    plot(a, b, out=tmp_path / "figure.png")
    digits, diabetes, *steps = drawn[0].subfigs
    assert "digits, MLP, 2 epochs" in digits.get_suptitle()
    assert "diabetes, MLP, 2 epochs" in diabetes.get_suptitle()
    assert diabetes.axes[0].get_ylabel() == "test squared error"
    assert len(steps) == 2


def test_each_runs_steps_are_coloured_by_phase_beside_the_average(tmp_path, drawn):
    plot(write_run(tmp_path / "a"), out=tmp_path / "x.png")
    loss_axes, momentum_axes = drawn[0].subfigs[1].axes
    # Two steps an epoch: they end at 0.5, 1, 1.5 and 2 epochs.
    assert series(loss_axes) == {
        "low loss: 50 %": [[1, 1.5], [2, 1.0]],
        "high loss: 50 %": [[0.5, 2.0], [1.5, 1.8]],
        "its average": [[0.5, 2.0], [1, 1.75], [1.5, 1.77], [2, 1.6]],
    }
    assert series(momentum_axes) == {
        "a step": [[0.5, 0.9], [1, 0.95], [1.5, 0.9], [2, 0.95]],
        "mean of\nthe epoch": [[1, 0.925], [2, 0.925]],
    }


def test_sgd_is_drawn_without_phases(tmp_path, drawn):
    plot(write_about(write_run(tmp_path / "a"), "sgd"), out=tmp_path / "x.png")
    loss_axes, momentum_axes = drawn[0].subfigs[1].axes
    assert list(series(loss_axes)) == ["a step"]
    assert series(momentum_axes)


def test_picture_of_a_comparison_says_what_the_table_says(tmp_path, drawn):
    write_study(tmp_path / "a", study="comparison")
    plot(tmp_path / "a", out=tmp_path / "x.png")
    [arms] = drawn[0].subfigs
    above = " ".join(arms.get_suptitle().split())
    # LCAM ends at 4 and 0, SGD at 5 and 5.
    assert "sgd-0.9 against lcam: +3.00 points, 95 % interval -22.41 to" in above
    assert "undecided" in above


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path, drawn):
    for parent in ("first", "second"):
        (tmp_path / parent).mkdir()
    folders = [write_run(tmp_path / p / "seed0") for p in ("first", "second")]
    plot(*folders, out=tmp_path / "figure.png")
    labels = [label.replace("\n", "") for label in series(drawn[0].axes[0])]
    assert labels == [f"{folder}: 40.00 %" for folder in folders]


def test_run_that_diverged_at_once_is_drawn(tmp_path):
    folder = write_run(tmp_path / "a", test_errors=(float("nan"), float("nan")))
    rows = (folder / "steps.csv").read_text()
    for loss in LOSSES:
        rows = rows.replace(f",{loss},", ",nan,")
    (folder / "steps.csv").write_text(rows)
    assert plot(folder, out=tmp_path / "x.png") == 0


def test_arm_that_diverged_is_named(tmp_path, drawn):
    runs = {("lcam", 0): run(5.0), ("sgd-0.9", 0): run(90.0, diverged=True)}
    write_tables(tmp_path / "a", study(runs))
    plot(tmp_path / "a", out=tmp_path / "x.png")
    [arms] = drawn[0].subfigs
    assert arms.get_suptitle().endswith("left out: sgd-0.9 (diverged)")


def test_adamw_is_drawn_without_phase_and_momentum(tmp_path, drawn):
    plot(write_run(tmp_path / "a", adaptive=True), out=tmp_path / "x.png")
    above, steps = drawn[0].subfigs
    assert len(above.axes) == 2
    loss_axes, nothing = steps.axes
    assert set(series(loss_axes)) == {"a step"}
    assert not nothing.get_visible()


@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "PNG"])
def test_picture_is_written_where_asked_and_its_path_printed(tmp_path, capsys, ending):
    out = tmp_path / f"figure.{ending}"
    assert plot(write_run(tmp_path / "a"), out=out) == 0
    assert capsys.readouterr().out == f"picture: {out}\n"
    assert out.stat().st_size > 1000


def test_picture_in_the_first_folder_is_drawn_again(tmp_path, capsys):
    a, b = (str(write_run(tmp_path / name)) for name in "ab")
    picture = tmp_path / "b" / "figure.png"
    for folders in ([b], [b, a]):
        assert main(["plot", *folders]) == 0
        assert capsys.readouterr().out == f"picture: {picture}\n"
    assert list(tmp_path.rglob("*.png")) == [picture]


def test_picture_of_another_program_stays_unless_allowed(tmp_path, capsys):
    folder = write_run(tmp_path / "a")
    picture = folder / "figure.png"
    picture.write_text("precious")
    assert main(["plot", str(folder)]) == 2
    assert f"{picture} is there already" in capsys.readouterr().err
    assert picture.read_text() == "precious"
    assert main(["plot", str(folder), "--overwrite"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def no_run(folder):
    folder.mkdir()


def run_that_has_not_begun(folder):
    folder.mkdir()
    (folder / "config.json").write_text("{}")


def damaged_run(folder):
    write_run(folder)
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "tra')


def damaged_study(folder):
    write_study(folder)
    (folder / "study.json").write_text('{"format": 1, "blo')


def study_that_has_not_begun(folder):
    write_study(folder)
    (folder / "config.json").write_text("{}")
    (folder / "runs").mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "there is no folder"),
        (no_run, "holds no run, comparison or study"),
        (lambda folder: folder.write_text(""), "there is no folder"),
        (run_that_has_not_begun, "has not finished an epoch"),
        (damaged_run, "cannot read metrics.jsonl"),
        (damaged_study, "study.json: JSONDecodeError"),
        (study_that_has_not_begun, "no run has finished yet"),
    ],
)
def test_folder_with_nothing_to_draw_gives_one_message(tmp_path, capsys, make, message):
    make(tmp_path / "a")
    assert plot(tmp_path / "a", out=tmp_path / "x.png") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("taken.png", "is there already: name a new file, or add --overwrite"),
        ("folder.png", "is a folder: name a file"),
        ("nowhere/x.png", "there is no folder"),
        ("figure.csv", "must end in .png, .pdf or .svg"),
    ],
)
def test_picture_that_cannot_be_written_gives_one_message(
    tmp_path, capsys, out, message
):
    (tmp_path / "taken.png").write_text("precious")
    (tmp_path / "folder.png").mkdir()
    folder = write_run(tmp_path / "a")
    assert plot(folder, out=tmp_path / out) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "taken.png").read_text() == "precious"


def test_plot_needs_folders_that_differ(tmp_path, capsys):
    folder = str(write_run(tmp_path / "a"))
    assert main(["plot"]) == main(["plot", folder, folder]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "plot needs FOLDERS" in lines[0]
    assert "FOLDERS must be different" in lines[1]
