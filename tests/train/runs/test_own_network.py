"""Runs with the network of docs/training.md, as a user writes one."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import models
import train
from tests.train.runs.test_faults import restore, stop_at
from tests.train.two_classes import two_classes
from train.__main__ import main
from train.errors import InputError
from train.runs import records
from train.runs.checkpoint import by_path
from train.settings import options as settings

pytestmark = pytest.mark.usefixtures("no_pictures")

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
[SECTION] = re.findall(r"^## A network of your own\n(.*?)^## ", PAGE, re.M | re.S)
[EXAMPLE] = re.findall(r"^```python\n(.*?)^```", SECTION, re.M | re.S)
EPOCHS, STEPS = 2, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example's file, and images of two classes."""
    path = tmp_path_factory.mktemp("own")
    (path / "cnn.py").write_text(EXAMPLE)
    np.savez(path / "images.npz", **two_classes({"train": 64, "test": 16}, noise=200))
    return path


def words(folder, command, *options):
    shared = ["--data", f"npz:{folder}/images.npz", "--network"]
    shared += [f"{folder}/cnn.py:small_cnn", "--epochs", str(EPOCHS)]
    return [command, *shared, "--batch-size", "16", *options]


def run(folder, out, *options):
    every = ["--steps-per-call", "1", "--out", str(out)]
    return main(words(folder, "run", *every, *options))


@pytest.fixture(scope="module")
def whole(folder):
    """The folder of a run that nothing happened to."""
    assert run(folder, folder / "whole") == 0
    return folder / "whole"


def state(folder):
    """All arrays of the last checkpoint, by their names."""
    return by_path(restore(folder / "checkpoints" / f"{EPOCHS * STEPS}")["state"])


def test_checkpoint_holds_the_random_numbers_of_dropout(whole):
    # A mask a step.
    assert state(whole)["batch_stats/dropout/rngs/count"] == EPOCHS * STEPS
    assert "batch_stats/norm/mean" in state(whole)


def test_resumed_run_is_that_of_an_unbroken_one(folder, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, STEPS + 2)
        assert run(folder, tmp_path / "run") == 143
    assert run(folder, tmp_path / "run", "--resume") == 0
    steps = [(path / "steps.csv").read_text() for path in (tmp_path / "run", whole)]
    assert steps[0] == steps[1]
    ours, theirs = state(tmp_path / "run"), state(whole)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_changed_file_is_not_resumed(folder, whole, capsys):
    before = (folder / "cnn.py").read_text()
    (folder / "cnn.py").write_text(before.replace("Dropout(0.1", "Dropout(0.2"))
    settings.read_own.cache_clear()  # as in a new process
    try:
        assert run(folder, whole, "--resume") == 2
    finally:
        (folder / "cnn.py").write_text(before)
        settings.read_own.cache_clear()
    assert "has changed since the run in" in capsys.readouterr().err
    assert (whole / "network.py").read_text() == before


@pytest.mark.parametrize(("name", "code"), [("small_cnn", 0), ("SmallCNN", 2)])
def test_run_is_resumed_with_a_file_that_was_moved(folder, whole, tmp_path, name, code):
    (tmp_path / "elsewhere.py").write_text(EXAMPLE)
    network = f"{tmp_path}/elsewhere.py:{name}"
    assert run(folder, whole, "--resume", "--network", network) == code


@pytest.fixture
def moved(whole, tmp_path):
    """A copy of the run, on a machine that has not the user's file."""
    copy = shutil.copytree(whole, tmp_path / "copy")
    for name in ("config.json", "network.json"):
        text = (copy / name).read_text()
        (copy / name).write_text(text.replace(str(whole.parent / "cnn"), "gone/cnn"))
    return copy


def test_network_is_loaded_from_the_copy_in_the_runs_folder(folder, moved):
    images = np.load(folder / "images.npz")
    network = train.load_run(moved)
    wrong = np.argmax(network(images["x_test"]), axis=1) != images["y_test"]
    row = records.read_metrics(moved)[-1]
    assert 100 * np.mean(wrong) == pytest.approx(row["test_error"])


def test_copy_that_changed_is_told(moved):
    (moved / "network.py").write_text(EXAMPLE + "# changed\n")
    with pytest.raises(InputError, match=r"network.py, the run's copy .* was changed"):
        train.load_run(moved)


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_exported_file_is_loaded_with_the_users_function(
    folder, moved, tmp_path, ending
):
    path = tmp_path / f"weights.{ending}"
    assert main(["export", str(moved), str(path)]) == 0
    with pytest.raises(ValueError, match="of your own: give make=small_cnn"):
        models.load(path)
    names = {}
    exec(EXAMPLE, names)
    images = np.load(folder / "images.npz")["x_test"]
    network = models.load(path, make=names["small_cnn"])
    predicted = network(images)
    assert "/" not in network.about["model"]["network"]  # no path of the user's
    np.testing.assert_array_equal(predicted, train.load_run(moved)(images))


def test_exported_are_weights_and_statistics_and_no_random_numbers(moved, tmp_path):
    path = tmp_path / "weights.safetensors"
    assert main(["export", str(moved), str(path)]) == 0
    assert sorted(load_file(path)) == [
        *("conv/bias", "conv/kernel"),
        *("norm/bias", "norm/mean", "norm/scale", "norm/var"),
        *("output/bias", "output/kernel"),
    ]


@pytest.mark.parametrize("command", [["compare"], ["study", "ablation", "--quick"]])
def test_network_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, capsys, command
):
    bad = EXAMPLE.replace(
        "num_outputs, rngs=rngs)\n\n    def", "3, rngs=rngs)\n\n    def"
    )
    assert bad != EXAMPLE
    (tmp_path / "cnn.py").write_text(bad)
    out, network = tmp_path / "out", f"{tmp_path}/cnn.py:small_cnn"
    # On the digits, of 10 classes.
    assert main([*command, "--network", network, "--out", str(out)]) == 2
    assert (
        "logits, float32 (2, 10) for inputs (2, 8, 8, 1); got float32 (2, 3)"
        in capsys.readouterr().err
    )
    assert not out.exists()
