"""Runs that are tested on examples kept from training, and keep their best network."""

import json
import re
import shutil
import signal

import numpy as np
import orbax.checkpoint as ocp
import pytest

import train
from tests.train.two_classes import two_classes
from train.__main__ import main
from train.runs import records

pytestmark = pytest.mark.usefixtures("no_pictures")

STEPS = 4  # an epoch: 64 examples, without those that validate, in batches of 16
OPTIONS = [
    *("--network", "mlp", "--hidden", "16", "--optimizer", "sgd", "--epochs", "6"),
    *("--batch-size", "16", "--learning-rate", "0.2", "--validation", "48"),
    *("--keep-best", "--keep-checkpoints", "1", "--steps-per-call", "1"),
]
# A checkpoint after every call.
ALWAYS = ["--checkpoint-minutes", "1e-9"]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command of a run whose validation error rises again."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    sizes = {"train": 112, "test": 16}
    np.savez(path, **two_classes(sizes, channels=1, noise=200, contrast=50))
    return ["run", "--data", f"npz:{path}", *OPTIONS]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The folder of the run, which nothing happened to."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*command, "--out", str(out)]) == 0
    return out


@pytest.fixture
def copy(whole, tmp_path):
    """One that a test may spoil."""
    return shutil.copytree(whole, tmp_path / "copy")


def errors_of(folder):
    """The validation errors of a run, by step."""
    return {row["step"]: row["test_error"] for row in records.read_metrics(folder)}


def test_network_of_the_lowest_validation_error_is_kept_beside_the_last(
    whole, tmp_path, capsys
):
    errors = errors_of(whole)
    lowest = min(errors.values())
    best = min(step for step, error in errors.items() if error == lowest)
    assert lowest < errors[6 * STEPS]  # or the test would show nothing
    assert records.steps_in(whole) == [best, 6 * STEPS]
    assert train.load_run(whole, "best").step == best
    assert main(["evaluate", str(whole), "--step", "best"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1].startswith("48 validation examples of npz:")
    assert told[1].endswith(": stratified draw, seed 0")
    assert told[3] == f"validation error {lowest:.4f} %"
    out = tmp_path / "best.npz"
    assert main(["export", str(whole), str(out), "--step", "best"]) == 0
    assert f" of step {best}, with" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "happens", "best"),
    [
        (4 * STEPS + 2, lambda: signal.raise_signal(signal.SIGTERM), 2 * STEPS),
        (4 * STEPS + 2, "full disk", 2 * STEPS),
        (2 * STEPS, "full disk", STEPS),  # when the best itself is to be saved
    ],
)
def test_best_network_outlives_what_ends_a_run(
    whole, command, tmp_path, monkeypatch, step, happens, best
):
    command, save = (
        [*command, "--out", str(tmp_path / "run")],
        ocp.CheckpointManager.save,
    )

    def fail(manager, at, **arguments):
        if at == step and happens == "full disk":
            raise OSError(28, "No space left on device")
        if at == step:
            happens()
        return save(manager, at, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "save", fail)
        assert main([*command, *ALWAYS]) in (2, 128 + signal.SIGTERM)
    assert train.load_run(tmp_path / "run", "best").step == best
    assert main([*command, *ALWAYS, "--resume"]) == 0
    assert errors_of(tmp_path / "run") == errors_of(whole)
    assert records.steps_in(tmp_path / "run") == records.steps_in(whole)


def test_run_that_keeps_its_best_network_goes_on_with_that(copy, command, capsys):
    kept, words = records.steps_in(copy), [x for x in command if x != "--keep-best"]
    assert main([*words, "--out", str(copy), "--resume"]) == 2
    assert "keep_best was True, is False. Repeat its command" in capsys.readouterr().err
    assert records.steps_in(copy) == kept


def test_errors_are_called_those_of_validation(copy, command, tmp_path, capsys):
    error = errors_of(copy)[6 * STEPS]
    assert main([*command, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    epoch = [x for x in capsys.readouterr().out.splitlines() if "epoch 1/1" in x]
    assert re.search(r"train error [\d.]+ %, validation error [\d.]+ %", *epoch)
    assert main([*command, "--out", str(copy), "--resume"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"validation error {error:.2f} %")
    assert (
        told[1] == f"lowest validation error: step {2 * STEPS} (evaluate --step best)"
    )
    assert main(["runs", str(copy)]) == 0
    assert f"  validation {error:.2f} %  " in capsys.readouterr().out


def of_an_earlier_version(folder):
    """As if the last examples had been kept from training."""
    config = json.loads((folder / "config.json").read_text())
    del config["data"]["validation_split"]
    config["data_sha256"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(config))


def test_run_on_the_split_of_an_earlier_version_is_not_gone_on_with(
    copy, command, capsys
):
    of_an_earlier_version(copy)
    assert main([*command, "--out", str(copy), "--resume"]) == 2
    told = capsys.readouterr().err
    assert "validation_split was the last examples, is stratified draw, seed 0" in told


def test_split_of_an_earlier_version_is_told_where_it_would_be_tested_on(copy, capsys):
    of_an_earlier_version(copy)
    assert main(["evaluate", str(copy)]) == 2
    assert "trained, or were split by an earlier version." in capsys.readouterr().err
