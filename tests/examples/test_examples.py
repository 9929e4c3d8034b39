import ast
import importlib
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import examples.cifar_wrn
from tests.train.data.test_cifar import prepare
from train.__main__ import main
from train.runs.records import read_steps

SCRIPTS = sorted(Path(examples.__path__[0]).glob("[!_]*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example with arguments in an empty folder; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run_example(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with jax.numpy_rank_promotion("allow"):
            importlib.import_module(f"examples.{name}").main()
        return capsys.readouterr().out

    return run_example


def write_images(path, size=200, pixels=8):
    """Noise, but for one channel, which tells the class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, pixels, pixels, 3), np.uint8)
    labels = np.arange(size) % 4
    images[..., 0] = 60 * labels[:, None, None]
    half = size // 2
    arrays = {"x_train": images[:half], "y_train": labels[:half]}
    np.savez(path, **arrays, x_test=images[half:], y_test=labels[half:])
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_is_self_contained_and_says_how_it_is_run(script):
    tree = ast.parse(script.read_text())
    imported = [
        name
        for node in ast.walk(tree)
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in getattr(node, "names", [])]
        )
    ]
    assert not [name for name in imported if name.split(".")[0] == "train"]
    assert f"python -m examples.{script.stem}" in ast.get_docstring(tree)


def test_cifar_example_has_the_losses_of_the_program(run, tmp_path, monkeypatch):
    data = write_images(tmp_path / "images.npz")
    train_epoch, seen = examples.cifar_wrn.train_epoch, []

    def watched(*arguments):
        state, losses, phases = train_epoch(*arguments)
        seen.extend(zip(losses.tolist(), phases.tolist(), strict=True))
        return state, losses, phases

    monkeypatch.setattr(examples.cifar_wrn, "train_epoch", watched)
    sizes = ("--epochs", 2, "--batch-size", 16, "--seed", 3)
    monkeypatch.setattr(
        sys, "argv", ["cifar_wrn", "--data", str(data), *map(str, sizes)]
    )
    with jax.numpy_rank_promotion("allow"):
        examples.cifar_wrn.main()
    options = ["--data", f"npz:{data}", "--crop-padding", 4, "--flip", True, *sizes]
    assert main(["run", *map(str, options), "--quiet", "--out", "run"]) == 0
    steps = read_steps(tmp_path / "run")
    losses, phases = zip(*seen, strict=True)
    assert len(losses) == 12
    np.testing.assert_allclose(losses, steps["loss"], rtol=2e-5)
    assert list(phases) == steps["phase"]


@pytest.mark.torture
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_example_reads_what_tfds_keeps(run, tmp_path, monkeypatch, name):
    prepare(name, tmp_path / "data", monkeypatch)
    out = run(
        *("cifar_wrn", "--data", name, "--data-dir", tmp_path / "data"),
        *("--epochs", 1, "--batch-size", 2),
    )
    assert re.search(r"^    1 +\d+\.\d{4} +\d+\.\d\d% +\d+%$", out, re.M)


def test_flax_digits_learns_and_draws(run, tmp_path):
    out = run("flax_digits")
    errors = [float(error) for error in re.findall(r"test error (\d+\.\d+)%", out)]
    assert len(errors) == 10
    assert errors[-1] < 15
    assert (tmp_path / "phases.png").stat().st_size > 10_000


def test_optax_pipeline_finds_the_line(run):
    last = run("optax_pipeline").splitlines()[-1]
    found = [float(number) for number in re.findall(r"-?\d+\.\d*", last)]
    np.testing.assert_allclose(found, [0, 1, 2, 3, 1], atol=0.05)


def test_phase_picks_each_hyperparameter(run):
    out = run("any_optimizer_by_phase")
    seen = re.findall(r"high ([\d.]+), low ([\d.]+)$", out, re.M)
    assert seen == [("0.9", "0.95"), ("0.01", "0.02"), ("0.0001", "0.0005")]


def test_both_ways_over_devices_have_the_same_losses(run):
    out = run("data_parallel")
    losses = np.array(re.findall(r": ([\d.]+) with jit, ([\d.]+) with", out), float)
    assert len(losses) == 8
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], atol=2e-6)
    assert f"{jax.device_count()} devices" in out


def test_own_network_is_one_that_the_program_trains(run):
    assert "logits of two images: (2, 10)" in run("own_network")
    script = f"{examples.__path__[0]}/own_network.py:make"
    assert main(["run", "--network", script, "--epochs", "1", "--quiet"]) == 0


@pytest.mark.torture
def test_fine_tuning_of_weights_from_pytorch_learns(run, tmp_path):
    run("from_pytorch", "--epochs", 1)
    out = run("from_pytorch", "tuned.npz", "--epochs", 1)
    before, after = map(float, re.findall(r"test error (\d+\.\d+)%", out))
    assert after < before < 60


@pytest.mark.torture
def test_transformer_learns_to_add(run):
    [share] = re.findall(r"^(\d+)% of 1,000 sums are right", run("transformer"), re.M)
    assert int(share) > 90
