"""Runs with an optimizer of a user's own, as examples/own_optimizer.py has one."""

import csv
from pathlib import Path

import pytest

from train.__main__ import main
from train.runs import records
from train.settings import options as settings

pytestmark = pytest.mark.usefixtures("no_pictures")

EXAMPLE = (Path(__file__).parents[3] / "examples" / "own_optimizer.py").read_text()


@pytest.fixture
def file(tmp_path):
    """The example, as in a new process."""
    settings.read_own.cache_clear()
    path = tmp_path / "mine.py"
    path.write_text(EXAMPLE)
    yield path
    settings.read_own.cache_clear()


def run(file, *options, epochs=2):
    words = ["--optimizer", f"{file}:make", "--learning-rate", "0.01"]
    words += ["--network", "mlp", "--schedule", "constant", "--epochs", str(epochs)]
    return main(["run", *words, "--out", str(file.parent / "run"), "--quiet", *options])


def test_decay_by_phase_is_told_in_the_rows_and_the_file_is_kept(file):
    assert run(file, "--optimizer-options", "decay=0.9/0.95") == 0
    folder = file.parent / "run"
    steps = records.read_steps(folder)
    told = {0: 0.9, 1: 0.95}
    expected = [told[phase] for phase in steps["phase"]]
    assert steps["momentum"] == pytest.approx(expected)
    assert (folder / "optimizer.py").read_text() == EXAMPLE


def test_run_goes_on_with_a_file_that_was_moved(file):
    assert run(file) == 0
    moved = file.rename(file.with_name("moved.py"))
    assert run(moved, "--resume", epochs=3) == 0
    assert len(records.read_metrics(file.parent / "run")) == 3


def test_changed_file_of_a_run_is_told_by_name(file, capsys):
    assert run(file) == 0
    file.write_text(EXAMPLE + "\n# changed\n")
    settings.read_own.cache_clear()
    assert run(file, "--resume", epochs=3) == 2
    err = capsys.readouterr().err
    assert f"the file of --optimizer {file}:make has changed since the run" in err
    assert "each run has a copy, optimizer.py, in its folder" in err


def test_comparison_names_folders_by_the_function(file):
    out = str(file.parent / "compare")
    arms = ["sgd", f"{file}:make:decay=0.5,learning-rate=0.01"]
    words = ["--network", "mlp", "--epochs", "1", "--out", out]
    assert main(["compare", "--arms", *arms, *words]) == 0
    runs = sorted(path.name for path in Path(out, "runs", "digits").iterdir())
    assert runs == ["1-sgd-seed0", "2-make-seed0"]


def test_comparison_shows_the_phases_of_an_optimizer_that_follows_them(file):
    out = str(file.parent / "compare")
    arms = [f"{file}:make", f"{file}:make:decay=0.5/0.9"]
    words = ["--network", "mlp", "--epochs", "1", "--out", out]
    assert main(["compare", "--arms", *arms, *words]) == 0
    with Path(out, "report", "runs.csv").open() as rows:
        shares = [row["low_loss_share"] for row in csv.DictReader(rows)]
    assert shares[0] == ""
    assert 0 < float(shares[1]) <= 1


def test_optimizer_that_cannot_be_used_is_refused_before_anything_runs(file, capsys):
    out = file.parent / "compare"
    arms = ["sgd", f"{file}:make:speed=1"]
    assert main(["compare", "--arms", *arms, "--out", str(out)]) == 2
    assert "has no option speed. It has decay and weight_decay" in (
        capsys.readouterr().err
    )
    assert not out.exists()
