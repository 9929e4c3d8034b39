"""The program as a user runs it: the real command line on tiny images."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.train.two_classes import two_classes
from train.__main__ import main
from train.errors import DiskError, StoppedError
from train.paths import command_line
from train.runs import loop, records
from train.runs.folder import new_folder
from train.settings.experiment import Run

SIZES = {"train": 52, "test": 21}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes, dark and bright: 52 training and 21 test images of 4x4x3."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **two_classes(SIZES))
    return f"npz:{path}"


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# But for the first run.
pytestmark = pytest.mark.usefixtures("no_pictures")

# A network that compiles fast.
SHARED = ["--epochs", "3", "--batch-size", "8", "--eval-batch-size", "8"]
SHARED += ["--network", "mlp"]
TINY = [*SHARED, "--learning-rate", "0.02"]


def run(images, out, *options):
    """Runs `run` in this process and returns its rows; fails unless it exits with 0."""
    assert main(["run", "--data", images, *TINY, "--out", str(out), *options]) == 0
    return records.read_metrics(out)


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(images, folder)
    return folder


def strip_times(rows):
    return [
        {key: row[key] for key in row if key not in ("seconds", "images_per_second")}
        for row in rows
    ]


def test_run_learns_and_writes_all_its_files(finished):
    assert {path.name for path in finished.iterdir()} == {
        ".lock",
        "checkpoints",
        "config.json",
        "finished.json",
        "curves.png",
        "metrics.jsonl",
        "network.json",
        "provenance.json",
        "steps.csv",
    }
    rows = records.read_metrics(finished)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] < 1.0
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_test_comes_after_the_last_epochs_only_if_asked(images, tmp_path, capsys):
    rows = run(images, tmp_path / "run", "--test-epochs", "1")
    assert ["test_error" in row for row in rows] == [False, False, True]
    assert ["test_loss" in row for row in rows] == [False, False, True]
    assert "no test, " in capsys.readouterr().out
    assert not any(map(records.has_diverged, (rows[:1], rows)))


def test_metrics_agree_with_the_steps(finished):
    steps = records.read_steps(finished)
    assert steps["step"] == list(range(1, 3 * 6 + 1))  # 52 // 8 steps an epoch
    for row in records.read_metrics(finished):
        epoch = slice(6 * (row["epoch"] - 1), 6 * row["epoch"])
        phases = steps["phase"][epoch]
        before = steps["phase"][epoch.start - 1] if epoch.start else 0
        np.testing.assert_allclose(row["train_loss"], np.mean(steps["loss"][epoch]))
        assert row["low_loss_share"] == pytest.approx(np.mean(phases))
        assert row["high_loss_share"] == pytest.approx(1 - np.mean(phases))
        assert row["phase_switches"] == np.sum(np.diff([before, *phases]) != 0)
        assert row["mean_momentum"] == pytest.approx(
            np.mean(np.where(np.array(phases) == 1, 0.93, 0.9)), rel=1e-6
        )


def test_test_set_is_scored_whole(finished):
    # 21 images in batches of 8: an error is a multiple of 1/21.
    for row in records.read_metrics(finished):
        wrong = row["test_error"] * SIZES["test"] / 100
        assert wrong == pytest.approx(round(wrong), abs=1e-6)


def test_eval_batch_size_does_not_change_the_score(images, finished, tmp_path):
    rows = run(images, tmp_path / "run", "--eval-batch-size", "21")
    for row, expected in zip(rows, records.read_metrics(finished), strict=True):
        assert row["test_error"] == expected["test_error"]
        assert row["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-5)


def test_same_seed_repeats_and_another_differs(images, finished, tmp_path):
    expected = strip_times(records.read_metrics(finished))
    assert strip_times(run(images, tmp_path / "same")) == expected
    assert strip_times(run(images, tmp_path / "other", "--seed", "1")) != expected


def test_scanned_steps_equal_single_steps(images, finished, tmp_path):
    # 6 steps an epoch: a scan of 4 and 2 single ones.
    run(images, tmp_path / "run", "--steps-per-call", "4")
    scanned, single = map(records.read_steps, (tmp_path / "run", finished))
    # Rounding differs between the programs, and training magnifies it.
    np.testing.assert_allclose(scanned["loss"][:6], single["loss"][:6], rtol=1e-3)


def test_smaller_last_batch_is_trained_on_if_asked(images, tmp_path):
    run(images, tmp_path / "run", "--no-drop-last")
    assert len(records.read_steps(tmp_path / "run")["step"]) == 3 * 7


@pytest.mark.parametrize(
    "options",
    [
        ("--crop-padding", "1", "--flip", "True", "--normalize", "imagenet"),
        pytest.param(
            ("--network", "wide_resnet", "--dtype", "bfloat16", "--normalize", "none"),
            marks=pytest.mark.torture,
        ),
        ("--optimizer", "optax.adamw", "--schedule", "constant"),
        ("--optimizer", "sgd", "--nesterov", "--schedule", "exponential"),
        ("--lagged", "--loss-average", "epoch", "--margin", "0.1"),
    ],
    ids=" ".join,
)
def test_every_kind_of_option_trains(images, tmp_path, options):
    rows = run(images, tmp_path / "run", *options)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


@pytest.mark.parametrize("share", [0, 0.6])
def test_chance_decides_the_phase_if_asked(images, finished, tmp_path, share):
    run(images, tmp_path / "a", "--phase", "chance", "--low-loss-share", str(share))
    steps = records.read_steps(tmp_path / "a")
    losses = records.read_steps(finished)["loss"]
    assert steps["loss"][0] == losses[0]  # the loss of the batch, not the noise
    assert steps["average_loss"] == pytest.approx([share] * 18)
    # 18 draws: more than 3 deviations about 10.8.
    low = sum(steps["phase"])
    assert low == 0 if share == 0 else 4 < low < 18


def test_adamw_has_no_phase(images, tmp_path):
    [row, *_] = run(images, tmp_path / "run", "--optimizer", "optax.adamw")
    for name in ("low_loss_share", "phase_switches", "mean_momentum"):
        assert row[name] is None


def test_adamw_by_phase_tells_its_phases_and_its_b1(images, tmp_path):
    options = ("--optimizer-options", "b1=0.5/0.75", "--ema-decay", "0")
    out = tmp_path / "run"
    run(images, out, "--optimizer", "optax.adamw", *options)
    # Every loss is its own average.
    assert set(records.read_steps(out)["momentum"]) == {0.5}
    assert set(records.read_steps(out)["phase"]) == {0}


def test_resumed_run_equals_one_never_stopped(images, finished, tmp_path):
    out = tmp_path / "run"
    options = ("--checkpoint-every", "1", "--resume")
    run(images, out, *options)  # nothing there: starts from nothing
    # As if it had been killed in the third epoch, with a row half done.
    (out / "checkpoints" / "18").rename(tmp_path / "lost")
    for name in ("metrics.jsonl", "steps.csv"):
        text = (out / name).read_text()
        (out / name).write_text(text[:-20])
    assert strip_times(run(images, out, *options)) == strip_times(
        records.read_metrics(finished)
    )
    assert records.read_steps(out) == records.read_steps(finished)


def test_finished_run_is_resumed_without_compiling(
    images, finished, monkeypatch, capsys
):
    monkeypatch.setattr(loop, "compile_program", None)
    before = (finished / "provenance.json").read_text()
    run(images, finished, "--resume")
    assert "after 3 epochs in " in capsys.readouterr().out
    assert (finished / "provenance.json").read_text() == before


def test_resuming_with_other_options_is_refused(images, finished, capsys):
    arguments = ["run", "--data", images, *TINY, "--out", str(finished), "--resume"]
    assert main([*arguments, "--low-loss-momentum", "0.5"]) == 2
    assert "low_loss_momentum was 0.93, is 0.5" in capsys.readouterr().err


def test_resuming_on_other_data_is_refused(images, finished, tmp_path, capsys):
    with np.load(images.removeprefix("npz:")) as archive:
        arrays = dict(archive)
    arrays["x_test"] = arrays["x_test"] + 1
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    other = tmp_path / "images.npz"
    np.savez(other, **arrays)
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace(images, f"npz:{other}"))
    arguments = ["run", "--data", f"npz:{other}", *TINY, "--out", str(copy), "--resume"]
    assert main(arguments) == 2
    assert "data_sha256 was" in capsys.readouterr().err


def test_diverging_arm_is_left_out_and_the_others_go_on(images, tmp_path, capsys):
    arms = ["sgd", "sgd:learning-rate=1e6", "lcam"]
    out = tmp_path / "comparison"
    arguments = ["compare", "--data", images, *SHARED, "--out", str(out)]
    assert main([*arguments, "--arms", *arms]) == 1
    printed = capsys.readouterr()
    assert "sgd:learning-rate=1e6, seed 0: the training loss is" in printed.out
    message = "sgd:learning-rate=1e6 diverged with seed 0. Try lower learning rates."
    assert printed.err.endswith(f"\nerror: {message}\n")
    compared = read_csv(out / "report" / "comparisons.csv")
    assert {row["arm"] for row in compared} == {"lcam"}


def test_compare_pairs_its_arms_and_prints_a_table(images, tmp_path, capsys):
    out = tmp_path / "comparison"
    arms = ["sgd:learning-rate=0.02", "lcam:learning-rate=0.02,lagged=True"]
    arms.append("optax.adamw")
    arguments = ["compare", "--data", images, *SHARED, "--out", str(out)]
    assert main([*arguments, "--arms", *arms, "--seeds", "3", "4"]) == 0
    table = capsys.readouterr().out
    for text in (*arms, "± ", "(2 seeds", "comparison.png"):
        assert text in table
    assert (out / "comparison.png").exists()
    *lines, folder, picture, next_ = table.splitlines()
    assert folder == f"folder: {out}"
    assert picture == f"picture: {out / 'comparison.png'}"
    assert next_.endswith(f" --seeds 3 4 0 --out={out} --resume")
    shown = lines[next(i for i, line in enumerate(lines) if line.startswith("final")) :]
    assert max(map(len, shown)) <= 80
    for folders in ("1-sgd", "2-lcam", "3-adamw"):
        rates = [
            row["images_per_second"]
            for folder in (out / "runs" / "npz").glob(f"{folders}-seed*")
            for row in records.read_metrics(folder)
        ]
        assert any(line.endswith(f"  {np.median(rates):,.0f}") for line in shown)
    # The first step's loss comes from the weights and the batch alone.
    first = {
        folder.name: records.read_steps(folder)["loss"][0]
        for folder in (out / "runs" / "npz").iterdir()
    }
    assert len(first) == 6
    for seed in ("seed3", "seed4"):
        losses = {loss for name, loss in first.items() if name.endswith(seed)}
        assert max(losses) - min(losses) < 1e-6  # AdamW is another program
    assert first["3-adamw-seed3"] != first["3-adamw-seed4"]
    runs = read_csv(out / "report" / "runs.csv")
    assert [(run["arm"], run["seed"]) for run in runs] == [
        (arm, seed) for arm in arms for seed in "34"
    ]
    assert not (out / "report" / "report.md").exists()


def test_comparison_writes_a_report_if_asked(images, tmp_path, capsys):
    arguments = ["compare", "--data", images, *SHARED, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--seeds", "3", "4", "--report"]) == 0
    path = tmp_path / "out" / "report" / "report.md"
    assert f"report: {path}" in capsys.readouterr().out
    assert "the arm less the reference" in path.read_text()
    assert path.with_name("forest.png").read_bytes().startswith(b"\x89PNG")


def test_comparison_keeps_checkpoints_if_asked(images, tmp_path):
    arguments = ["compare", "--data", images, *SHARED, "--out"]
    assert main([*arguments, str(tmp_path / "light")]) == 0
    assert not list(tmp_path.glob("light/runs/npz/*/checkpoints"))
    assert main([*arguments, str(tmp_path / "kept"), "--keep-checkpoints", "1"]) == 0
    assert len(list(tmp_path.glob("kept/runs/npz/*/checkpoints/*"))) == 2


def test_light_run_is_known_as_done_and_damage_is_told(images, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["compare", "--data", images, *SHARED, "--out", str(out)]
    assert main(arguments) == 0
    assert main([*arguments, "--resume"]) == 0
    assert "[" not in capsys.readouterr().out.partition("final test error")[2][:20]
    steps = out / "runs" / "npz" / "1-sgd-seed0" / "metrics.jsonl"
    steps.write_text(steps.read_text()[:-9])
    assert main([*arguments, "--resume"]) == 2
    assert "was changed or damaged" in capsys.readouterr().err


def test_comparison_of_an_older_version_is_refused(images, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["compare", "--data", images, *SHARED, "--out", str(out)]
    assert main(arguments) == 0
    (out / "study.json").unlink()
    assert main([*arguments, "--resume"]) == 2
    assert "Older versions of the program did not write" in capsys.readouterr().err


def test_interrupted_comparison_goes_on_without_repeating_a_run(
    images, tmp_path, capsys, monkeypatch
):
    arms = ["sgd:learning-rate=0.02", "lcam:learning-rate=0.02"]
    arguments = ["compare", "--data", images, *SHARED, "--arms", *arms]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments, "--seeds", "0", "1", "--out", str(whole)]) == 0

    real_run, started = loop.run, []

    def run_two(config, *args, **options):
        if len(started) == 2:
            raise StoppedError("stopped.", code=143)
        started.append(config.out.name)
        return real_run(config, *args, **options)

    monkeypatch.setattr(loop, "run", run_two)
    capsys.readouterr()
    assert main([*arguments, "--seeds", "0", "1", "--out", str(parts)]) == 143
    assert f"--out {parts} --resume" in capsys.readouterr().err
    done = parts / "runs" / "npz" / "1-sgd-seed0" / "metrics.jsonl"
    first = done.stat().st_mtime_ns

    started.clear()
    resumed = [*arguments, "--out", str(parts), "--resume"]
    assert main([*resumed, "--seeds", "0", "1"]) == 0
    assert started == ["1-sgd-seed1", "2-lcam-seed1"]
    assert done.stat().st_mtime_ns == first
    losses = [
        [run["train_loss"] for run in read_csv(out / "report" / "runs.csv")]
        for out in (whole, parts)
    ]
    assert losses[0] == losses[1]

    # More seeds join those that are there; other options are refused.
    started.clear()
    assert main([*resumed, "--seeds", "0", "1", "2"]) == 0
    assert started == ["1-sgd-seed2", "2-lcam-seed2"]
    assert json.loads((parts / "config.json").read_text())["seeds"] == [0, 1, 2]
    assert main([*resumed, "--seeds", "0", "1", "--batch-size", "4"]) == 2
    assert "batch_size was 8, is 4" in capsys.readouterr().err
    assert main(["run", "--out", str(parts), "--resume"]) == 2
    assert "holds a comparison or a study: name another" in capsys.readouterr().err
    done.write_text(done.read_text()[:-9])
    monkeypatch.undo()
    assert main([*resumed, "--seeds", "0", "1"]) == 2
    assert "was changed or damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "run --optimizer sgd --momentum 0.5 --nesterov --no-drop-last --hidden 8 8 "
        "--schedule step --milestones 1 2 --flip True",
        "run --optimizer 'my, own: file.py:make' "
        "--optimizer-options b=0.9/0.8 --margin 0.1",
        "compare --arms sgd 'my, own: file.py:make:b=0.5' --hidden 8 --out 'my runs'",
    ],
)
def test_what_is_next_runs_as_it_is_pasted(
    images, tmp_path, monkeypatch, capsys, command
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my, own: file.py").write_text(
        "import optax\ndef make(learning_rate, b): return optax.sgd(learning_rate, b)\n"
    )
    shutil.copy(images.removeprefix("npz:"), "my images.npz")
    shared = ["--data", "npz:my images.npz", "--network", "mlp", "--epochs", "1"]
    words, pasted = [*shlex.split(command), *shared, "--batch-size", "16"], 0
    while words:
        assert main(words) == 0
        pasted += 1
        lines = [*capsys.readouterr().out.splitlines(), ""]
        [next_] = [line for line in lines if line.startswith("next: ")] or [""]
        python, *words = shlex.split(next_.removeprefix("next: ")) or [sys.executable]
        assert Path(shutil.which(python)).samefile(sys.executable)
        words = words[2:]  # behind -m train
    assert pasted == 3
    assert len(list(tmp_path.glob("**/runs/npz/*/finished.json"))) == 6


def test_commands_name_the_python_that_has_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/opt/my env/bin/python3")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        command_line("runs", "a b") == "'/opt/my env/bin/python3' -m train runs 'a b'"
    )
    near = tmp_path / ".venv" / "bin" / "python"
    near.parent.mkdir(parents=True)
    near.symlink_to("/bin/sh")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(near))
    assert command_line("runs") == ".venv/bin/python -m train runs"
    monkeypatch.setenv("PATH", str(near.parent))
    assert command_line("runs") == "python -m train runs"


# --- Errors: one message, exit code 2, nothing lost -----------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--batch-size", "53"],
            "--batch-size must be at most 52, the number of training examples",
        ),
        (["--data", "digits", "--normalize", "imagenet"], "needs images of 3 channels"),
        (["--out", "/dev/null/run"], "cannot write to --out /dev/null/run"),
    ],
)
def test_bad_input_gives_one_message(images, tmp_path, capsys, options, message):
    out = ["--out", str(tmp_path / "run")]
    assert main(["run", "--data", images, *SHARED, *out, *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "run" / "config.json").exists()


def test_folder_that_holds_something_is_left_alone(images, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("precious")
    assert main(["run", "--data", images, *SHARED, "--out", str(tmp_path)]) == 2
    assert "is not empty, and nothing in it is overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("options", "message"), [([], "is not empty"), (["--resume"], "cannot read")]
)
def test_empty_config_of_another_program_is_kept(tmp_path, capsys, options, message):
    (tmp_path / "config.json").touch()
    for command in ("run", "compare"):
        assert main([command, "--out", str(tmp_path), *options]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "config.json").read_text() == ""


def test_default_folder_is_always_a_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [new_folder(None, "digits-lcam-seed0", Run()).name for _ in range(3)]
    assert names == ["digits-lcam-seed0", "digits-lcam-seed0-2", "digits-lcam-seed0-3"]


def test_diverging_run_stops_and_says_where(images, tmp_path, capsys):
    options = [*TINY, "--learning-rate", "1e6", "--epochs", "5"]
    out = tmp_path / "run"
    assert main(["run", "--data", images, *options, "--out", str(out)]) == 1
    assert "training diverged" in capsys.readouterr().err
    assert len(records.read_metrics(out)) < 5
    assert not any((out / "checkpoints").iterdir())


def test_help_explains_the_options_without_loading_jax():
    code = (
        "import sys, train.__main__ as program\n"
        "try: program.main(['run', '--help'])\n"
        "finally: assert 'jax' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "--low-loss-momentum FLOAT" in done.stdout
    assert "--widen INT" in done.stdout


@pytest.mark.parametrize("command", ["runs", "report", "plot"])
def test_what_only_reads_rows_does_not_load_jax(command, tmp_path):
    rows = Path(__file__).parents[2] / "results" / "plan-5k-pilot"
    shutil.copytree(rows, tmp_path / "rows")
    code = (
        "import sys, train.__main__ as program\n"
        "assert program.main(sys.argv[1:]) == 0\n"
        "assert 'jax' not in sys.modules"
    )
    line = [sys.executable, "-c", code, command, str(tmp_path / "rows")]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pictures_are_drawn_whatever_the_users_backend(tmp_path):
    rows = Path(__file__).parents[2] / "results" / "plan-5k-pilot"
    line = [sys.executable, "-m", "train", "plot", str(rows)]
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    picture = tmp_path / "figure.png"
    subprocess.run([*line, "--out", str(picture)], env=environment, check=True)
    assert picture.exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_on_a_full_disk_is_told(unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "train", "presets"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: cannot read or write: [Errno 28] No space left on")


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_run_whose_output_is_on_a_full_disk_is_whole_and_says_so(
    images, finished, tmp_path, monkeypatch, capsys, options
):
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        out = tmp_path / "run"
        assert main(["run", "--data", images, *TINY, "--out", str(out), *options]) == 2
    [*_, line] = capsys.readouterr().err.splitlines()
    assert line == (
        "error: cannot write the output: No space left on device. The run has "
        f"finished, and all of it is in {out}."
    )
    rows = records.read_metrics(out)
    assert strip_times(rows) == strip_times(records.read_metrics(finished))
    assert records.has_finished(out)


@pytest.mark.parametrize("error", [DiskError("full."), OSError("full")], ids=repr)
@pytest.mark.parametrize(
    ("command", "continues"),
    [
        ("run", True),
        ("compare", True),
        ("run --help", False),
        ("export a b.npz", False),
        ("evaluate a --predictions b.npz", False),
    ],
)
def test_full_disk_is_told_with_resume_where_something_can_be_continued(
    monkeypatch, capsys, command, continues, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr("train.__main__._execute", fail)
    monkeypatch.setattr("train.settings.cli.describe", fail)
    assert main(command.split()) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "full" in line
    assert line.endswith(" With --out and --resume the same command continues.") == (
        continues
    )


def test_closed_output_is_no_error():
    command = f"{sys.executable} -m train presets >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0


@pytest.mark.parametrize("options", [[], ["--no-compile-cache"]])
def test_evaluation_keeps_what_it_compiles_unless_told_not_to(
    finished, monkeypatch, options
):
    asked = []
    monkeypatch.setattr("train.engine.devices.keep_compiled", asked.append)
    assert main(["evaluate", str(finished), *options]) == 0
    assert asked == [not options]


def test_deterministic_run_asks_xla_for_it(images, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=2")
    run(images, tmp_path / "run", "--deterministic")
    [start] = json.loads((tmp_path / "run" / "provenance.json").read_text())
    flags = "--xla_gpu_autotune_level=2 --xla_gpu_deterministic_ops=true"
    assert start["XLA_FLAGS"] == flags


def test_evaluation_says_what_to_do_where_memory_is_full(finished, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\n...")

    monkeypatch.setattr("train.runs.trained.RunNetwork.__call__", fail)
    assert main(["evaluate", str(finished)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a device's memory is too small: RESOURCE_EXHAUSTED:")
    assert line.endswith("9 bytes. --device cpu has more.")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("command", "code"), [("presets", 141), ("preset", 2)])
def test_pipe_that_nobody_reads_ends_as_any_program(command, code, unbuffered):
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "train", command],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(theirs)
    assert done.returncode == code
