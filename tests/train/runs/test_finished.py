"""What can be done with a run that is there: load, evaluate, export, list."""

import csv
import json
import re
import shutil
from pathlib import Path

import filelock
import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from safetensors.numpy import load_file, save_file
from sklearn import datasets

import models
import train
from models import WideResNet
from models.torch_weights import from_torch, to_torch
from tests.golden import seeded
from train.__main__ import main
from train.data.sources import load_dataset
from train.engine.networks import NetworkSpec
from train.errors import InputError
from train.runs import records, trained
from train.runs.evaluate import evaluate
from train.runs.listing import list_runs
from train.runs.loop import run
from train.runs.writing import check_output
from train.settings.commands import Evaluate, Export, Runs
from train.settings.experiment import Run
from train.settings.options import Data, Model

SMALL = Model("mlp", hidden=(8,))


def trained_in(folder, **options):
    data = Data(options.pop("data", "digits"))
    config = Run(data=data, model=SMALL, epochs=2, out=folder, **options)
    run(config, load_dataset(data), quiet=True)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run on the digits."""
    return trained_in(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def copy(finished, tmp_path):
    """One that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "copy")


def last_row(folder):
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


def written(text, name):
    """The number that stands behind a name in what is printed."""
    [line] = [line for line in text.splitlines() if line.startswith(name)]
    return float(line.removeprefix(name).split()[0])


# --- Load -----------------------------------------------------------------------------


def test_loaded_network_has_the_test_error_of_its_run(finished):
    network = train.load_run(finished)
    digits = load_dataset(Data("digits"))
    wrong = np.argmax(network(digits.test_inputs), axis=1) != digits.test_targets
    assert 100 * np.mean(wrong) == pytest.approx(last_row(finished)["test_error"])


def test_pixels_are_normalised_as_in_training(finished):
    images = load_dataset(Data("digits")).train_inputs / 255
    network = train.load_run(finished)
    assert network.mean == pytest.approx([images.mean()], rel=1e-6)
    assert network.std == pytest.approx([images.std()], rel=1e-6)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 8), np.uint8), r"\[batch, 8, 8, 1\], got the shape \(2, 8\)"),
        (np.zeros((2, 8, 8, 1)), r"must be uint8, .* got float64\. Pixels from"),
        (np.zeros((0, 8, 8, 1), np.uint8), r"got the shape \(0, 8, 8, 1\)"),
    ],
)
def test_inputs_that_are_no_such_images_are_refused(finished, inputs, message):
    with pytest.raises(ValueError, match=message):
        train.load_run(finished)(inputs)


def checkpoint_that_changed(folder):
    [step] = records.steps_in(folder)
    for path in (folder / "checkpoints" / str(step) / "snapshot").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)


def another_network(folder):
    about = json.loads((folder / "network.json").read_text())
    about["model"]["hidden"] = [9]
    (folder / "network.json").write_text(json.dumps(about))


def comparison(folder):
    (folder / "metrics.jsonl").unlink()
    (folder / "runs").mkdir()


def without_checkpoints(folder):
    shutil.rmtree(folder / "checkpoints")


def unfinished(folder):
    without_checkpoints(folder)
    (folder / "finished.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "step", "message"),
    [
        (shutil.rmtree, None, "holds no run: name the folder of a run"),
        (comparison, None, "or a study: .* train runs .*copy"),
        (checkpoint_that_changed, None, "cannot read the checkpoint .* Name an earl"),
        (another_network, None, r"cannot read .*network\.json: it was changed"),
        (without_checkpoints, None, "kept no checkpoint. .* --keep-checkpoints 1"),
        (unfinished, None, "has no checkpoint yet"),
        (lambda _: None, 7, "--step must be that of a checkpoint .*: 44; got 7"),
        (lambda _: None, "best", "got best. With --validation, --keep-best keeps that"),
        (lambda f: (f / "network.json").unlink(), None, "is of an older version"),
        (lambda f: (f / "network.json").write_text("{"), None, "changed or damaged"),
    ],
)
def test_run_that_cannot_be_loaded_is_told(copy, spoil, step, message):
    spoil(copy)
    with pytest.raises(InputError, match=message):
        train.load_run(copy, step)


# --- Evaluate -------------------------------------------------------------------------


def test_own_test_set_has_the_numbers_of_the_last_epoch(finished):
    text, row = evaluate(Evaluate(finished)), last_row(finished)
    assert written(text, "test loss") == pytest.approx(row["test_loss"], abs=5e-7)
    assert written(text, "test error") == pytest.approx(row["test_error"], abs=5e-5)


@pytest.fixture
def of_folders(tmp_path):
    """A run on three classes, each of one grey."""
    root = tmp_path / "photos"
    save_greys(root / "train", {"ape": 10, "cat": 90, "dog": 200}, number=3)
    save_greys(root / "test", {"ape": 10, "cat": 90, "dog": 200})
    words = ["--network", "mlp", "--epochs", "1", "--batch-size", "3", "--quiet"]
    out = tmp_path / "of-folders"
    assert main(["run", "--data", f"folder:{root}", *words, "--out", str(out)]) == 0
    return out


def save_greys(folder, greys, number=1, size=(8, 8)):
    for name, grey in greys.items():
        (folder / name).mkdir(parents=True)
        for index in range(number):
            Image.new("L", size, grey).save(folder / name / f"{index}.png")


def test_folder_is_tested_by_the_names_of_its_classes(of_folders, tmp_path):
    for part in ("train", "test"):
        save_greys(tmp_path / "new" / part, {"cat": 90, "dog": 200}, size=(20, 16))
    text = evaluate(Evaluate(of_folders, data=f"folder:{tmp_path / 'new'}"))
    assert re.findall(r"^ +(\w+) +1  +[\d.]+ %$", text, re.M) == ["cat", "dog"]


def test_folder_with_another_class_is_not_tested(of_folders, tmp_path):
    for part in ("train", "test"):
        save_greys(tmp_path / "new" / part, {"cat": 90, "wolf": 200})
    with pytest.raises(InputError, match="a class wolf, and the network knows ape, c"):
        evaluate(Evaluate(of_folders, data=f"folder:{tmp_path / 'new'}"))


def test_run_of_before_an_option_went_is_evaluated(finished, copy):
    config = json.loads((copy / "config.json").read_text())
    config["data"]["label_noise"] = 0.0
    (copy / "config.json").write_text(json.dumps(config))
    ours, before = evaluate(Evaluate(finished)), evaluate(Evaluate(copy))
    assert before.replace(str(copy), str(finished)) == ours


def test_errors_of_the_classes_follow_from_the_predictions(finished, tmp_path):
    path = tmp_path / "predictions.csv"
    text = evaluate(Evaluate(finished, predictions=path))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 360
    of_3 = [row for row in rows if row["target"] == "3"]
    right = sum(row["prediction"] == "3" for row in of_3)
    error = 100 * (1 - right / len(of_3))
    assert f"    3  {len(of_3):8}  {error:6.2f} %" in text
    as_8 = sum(row["prediction"] == "8" for row in of_3)
    matrix = text.partition("true class")[2].splitlines()
    [cells] = [line.split() for line in matrix if line.startswith("    3 ")]
    assert cells[1 + 8] == (str(as_8) if as_8 else ".")
    assert cells[1 + 3] == str(right)


def test_probabilities_are_those_of_the_network(finished, tmp_path):
    path = tmp_path / "predictions.npz"
    evaluate(Evaluate(finished, predictions=path))
    saved = np.load(path)
    logits = np.asarray(
        train.load_run(finished)(load_dataset(Data("digits")).test_inputs), np.float64
    )
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(saved["probabilities"], chances, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(saved["prediction"], logits.argmax(axis=1))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten of the training images as a file with x_test alone, and with y_test."""
    digits, folder = load_dataset(Data("digits")), tmp_path_factory.mktemp("images")
    few, labels = digits.train_inputs[:10], digits.train_targets[:10]
    np.savez(folder / "unknown.npz", x_test=few)
    np.savez(folder / "known.npz", x_test=few, y_test=labels)
    np.savez(folder / "small.npz", x_test=few[:, :4])
    np.savez(folder / "classes.npz", x_test=few, y_test=labels + 5)
    return folder


def test_images_without_labels_get_predictions_only(finished, images, tmp_path):
    path = tmp_path / "p.csv"
    data = f"npz:{images}/unknown.npz"
    text = evaluate(Evaluate(finished, data=data, predictions=path))
    assert "10 test examples" in text
    assert "Targets are not known" in text
    assert "test error" not in text
    assert path.read_text().startswith("example,prediction,p0,")
    assert len(path.read_text().splitlines()) == 11


def test_other_images_with_labels_are_scored(finished, images):
    digits = load_dataset(Data("digits"))
    predicted = np.argmax(train.load_run(finished)(digits.train_inputs[:10]), axis=1)
    error = 100 * np.mean(predicted != digits.train_targets[:10])
    text = evaluate(Evaluate(finished, data=f"npz:{images}/known.npz"))
    assert written(text, "test error") == pytest.approx(error)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("npz:{}/small.npz", r"the shape \(4, 8, 1\), and the network takes \(8, 8, 1"),
        ("npz:{}/classes.npz", r"label 14, and the network knows the classes 0 to 9"),
        ("npz:{}/nowhere.npz", "no file .*nowhere.npz: .* holding x_test"),
        ("diabetes", r"the shape \(10,\)"),
    ],
)
def test_data_that_do_not_fit_are_refused(finished, images, data, message):
    with pytest.raises(InputError, match=message):
        evaluate(Evaluate(finished, data=data.format(images)))


def test_numbers_are_scored_in_percent_of_the_variance_and_in_their_units(tmp_path):
    folder = trained_in(tmp_path / "run", data="diabetes")
    text = evaluate(Evaluate(folder, predictions=tmp_path / "p.csv"))
    assert f"{last_row(folder)['test_error']:.4f} % of the variance" in text
    target, found = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1).T[1:]
    assert {*target} <= {*datasets.load_diabetes().target}
    root = np.sqrt(np.mean((target - found) ** 2))
    assert f"RMSE in progression {root:.4g}" in text


# --- Export ---------------------------------------------------------------------------


def test_arrays_of_other_networks_have_the_names_of_flax(finished, tmp_path):
    path = tmp_path / "out.safetensors"
    assert "6 arrays" not in trained.export(Export(finished, path))  # one hidden layer
    arrays, module = load_file(path), train.load_run(finished).module
    assert sorted(arrays) == [
        f"layers/{layer}/{name}" for layer in (0, 1) for name in ("bias", "kernel")
    ]
    kernel = module.layers[1].kernel[...]
    np.testing.assert_array_equal(arrays["layers/1/kernel"], kernel)


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_wide_resnet_has_the_arrays_of_pytorch(monkeypatch, tmp_path, ending):
    module = nnx.eval_shape(lambda: WideResNet(10, 1, 3, channels=1, rngs=nnx.Rngs(0)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.bool_), module)
    expected = seeded.weights({name: a.shape for name, a in to_torch(zeros).items()})
    spec = NetworkSpec(Model("wide_resnet"), (8, 8, 1), 3)
    about = {"input_shape": (8, 8, 1)}
    network = trained.RunNetwork(spec, from_torch(expected), about, 5)
    monkeypatch.setattr(trained, "load_run", lambda *_: network)
    path = tmp_path / f"out.{ending}"
    text = trained.export(Export(tmp_path, path))
    assert "of step 5, with the names of PyTorch" in text
    found = load_file(path) if ending == "safetensors" else dict(np.load(path))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("data", "network"),
    [
        ("digits", ["wide_resnet", "--dtype", "bfloat16", "--every", "10"]),
        ("diabetes", ["mlp"]),
        pytest.param(
            "english",
            ["transformer", "--every", "40", "--width", "8", "--heads", "2"],
            marks=pytest.mark.torture,
        ),
    ],
)
def test_exported_file_is_all_that_is_needed_to_predict(tmp_path, data, network):
    run = ["run", "--data", data, "--epochs", "1", "--network", *network]
    assert main([*run, "--out", str(tmp_path / "run")]) == 0
    inputs = load_dataset(Data(data)).test_inputs[:50]
    expected = train.load_run(tmp_path / "run")(inputs)
    for ending in ("safetensors", "npz"):
        path = tmp_path / f"out.{ending}"
        assert main(["export", str(tmp_path / "run"), str(path)]) == 0
        np.testing.assert_array_equal(models.load(path)(inputs), expected)


def test_recipe_predicts_with_an_exported_file(finished, tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    [recipe] = re.findall(r"```python\n(import models\n.*?)```", page, re.S)
    assert "import train" not in recipe
    assert recipe.count("\n") <= 10
    monkeypatch.chdir(tmp_path)
    digits = load_dataset(Data("digits"))
    np.savez("mine.npz", x_test=digits.test_inputs[..., 0])  # without channels
    trained.export(Export(finished, Path("weights.safetensors")))
    names = {}
    exec(recipe, names)
    expected = np.argmax(train.load_run(finished)(digits.test_inputs), axis=1)
    np.testing.assert_array_equal(names["predicted"], expected)


def test_names_of_classes_that_npz_cannot_hold_are_told(
    finished, tmp_path, monkeypatch
):
    network = train.load_run(finished)
    network.about = {**network.about, "class_names": ["x" * 70_000]}
    monkeypatch.setattr(trained, "load_run", lambda *_: network)
    with pytest.raises(InputError, match=r"too long for \.npz: name a"):
        trained.export(Export(finished, tmp_path / "out.npz"))


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_file_that_does_not_say_what_it_is_of_is_told(tmp_path, ending):
    path = tmp_path / f"out.{ending}"
    save_file({"x": np.zeros(1)}, path) if ending != "npz" else np.savez(path, x=[0])
    with pytest.raises(ValueError, match="does not say of which network it is"):
        models.load(path)


@pytest.mark.parametrize("words", ["export {}", "evaluate {} --predictions"])
def test_file_that_is_there_is_replaced_if_asked_only(
    finished, tmp_path, capsys, words
):
    path = tmp_path / "out.npz"
    path.write_text("mine")
    command = [*words.format(finished).split(), str(path)]
    assert main(command) == 2
    assert "is there already: name a new file, or add --ov" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert len(np.load(path).files) > 1


@pytest.mark.parametrize(
    ("place", "message"), [("no/out.npz", "there is no folder"), (".", "is a folder")]
)
def test_file_that_cannot_be_written_is_told_first(tmp_path, place, message):
    with pytest.raises(InputError, match=message):
        check_output("OUT", tmp_path / place, overwrite=False)


# --- List -----------------------------------------------------------------------------


@pytest.fixture
def several(finished, tmp_path):
    """Runs in all states, and a folder of a comparison."""
    states = ("begun", "cut", "diverged", "running", "stopped", "torn")
    for name in ("a/done", *(f"b/{state}" for state in states)):
        shutil.copytree(finished, tmp_path / name)
    for name in states:
        (tmp_path / "b" / name / "finished.json").unlink()
    rows = (tmp_path / "b/stopped/metrics.jsonl").read_text().splitlines()
    (tmp_path / "b/stopped/metrics.jsonl").write_text(rows[0] + "\n")
    checkpoints = tmp_path / "b/stopped/checkpoints"
    (checkpoints / "44").rename(checkpoints / "30")
    shutil.rmtree(tmp_path / "b/begun/checkpoints")
    (tmp_path / "b/cut/metrics.jsonl").write_text(rows[0] + "\n" + rows[1][:9])
    (tmp_path / "b/torn/config.json").write_text('{"seed": 0,')
    bad = json.loads(rows[0]) | {"train_loss": None}
    (tmp_path / "b/diverged/metrics.jsonl").write_text(json.dumps(bad) + "\n")
    (tmp_path / "b/begun/metrics.jsonl").unlink()
    (tmp_path / "config.json").write_text('{"arms": ["sgd"], "epochs": 2}')
    return tmp_path


def test_runs_are_listed_with_their_state(several):
    lock = filelock.FileLock(several / "b/running/.lock")
    with lock:
        runs = json.loads(list_runs(Runs(several, json=True)))
    assert {run["name"]: (run["state"], run["epochs_done"]) for run in runs} == {
        "a/done": ("finished", 2),
        "b/begun": ("stopped at step 0", 0),
        "b/cut": ("damaged", 0),
        "b/diverged": ("diverged", 1),
        "b/running": ("running", 2),
        "b/stopped": ("stopped at step 30", 1),  # that of its checkpoint
        "b/torn": ("damaged", 0),
    }
    assert runs[0]["test_error"] == last_row(several / "a/done")["test_error"]


def test_table_of_runs_fits_a_terminal(several):
    lines = list_runs(Runs(several)).splitlines()
    assert len(lines) == 1 + 7
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:3] == ["a/done", "finished", "2/2"]


def test_comparison_is_one_line_unless_all_is_asked_for(finished, tmp_path, capsys):
    for name in ("mine", "all/runs/digits/a", "all/runs/digits/b"):
        shutil.copytree(finished, tmp_path / name)
    (tmp_path / "all/runs/digits/b/finished.json").unlink()
    (tmp_path / "all/config.json").write_text('{"arms": ["sgd"], "epochs": 2}')
    assert main(["runs", str(tmp_path)]) == 0
    _, whole, mine = capsys.readouterr().out.splitlines()
    assert whole.split()[:7] == ["all", "1", "of", "2", "runs", "-", "-"]
    assert mine.split()[:3] == ["mine", "finished", "2/2"]
    assert main(["runs", "--all", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3


def test_long_names_have_lines_of_their_own(finished, tmp_path):
    shutil.copytree(finished, tmp_path / ("long" * 20))
    heading, name, row = list_runs(Runs(tmp_path)).splitlines()
    assert name == "long" * 20
    assert row.split()[:2] == ["finished", "2/2"]
    assert len(heading) == len(row) <= 80


def test_folder_without_runs_is_told(tmp_path):
    assert list_runs(Runs(tmp_path)) == f"There are no runs in {tmp_path}."
