"""The authors' runs, transcribed from their scripts apart from the presets."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train.__main__ import main
from train.engine.optimizers import (
    hyperparameters_of,
    learning_rates,
    make_optimizer,
    method_of,
)
from train.settings.cli import parse
from train.settings.commands import COMMANDS
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model
from train.settings.presets import PRESETS

STEPS_PER_EPOCH = 391  # len(DataLoader): ceil(50,000 / 128)

# From the scripts' comments and code: data, momentum below the average, otherwise.
FIGURES_3_AND_4 = {
    "figure3-sgd-0.9": ("cifar10", 0.9, 0.9),
    "figure3-sgd-0.95": ("cifar10", 0.95, 0.95),
    "figure3-lcam-0.95-0.9": ("cifar10", 0.95, 0.9),
    "figure3-lcam-0.9-0.95": ("cifar10", 0.9, 0.95),
    "figure4-sgd-0.9": ("cifar100", 0.9, 0.9),
    "figure4-sgd-0.95": ("cifar100", 0.95, 0.95),
    "figure4-lcam-0.95-0.9": ("cifar100", 0.95, 0.9),
    "figure4-lcam-0.9-0.95": ("cifar100", 0.9, 0.95),
}
FIGURE_5 = {
    "figure5-cifar10-sgd": ("cifar10", 0.9, 0.9),
    "figure5-cifar10-lcam": ("cifar10", 0.9, 0.95),
    "figure5-cifar100-sgd": ("cifar100", 0.9, 0.9),
    "figure5-cifar100-lcam": ("cifar100", 0.93, 0.9),
}
AUTHORS = FIGURES_3_AND_4 | FIGURE_5


def authors_learning_rates(name):
    """The rate of every step, as the scripts assign it."""
    rates = []
    learning_rate = 0.1
    for epoch in range(150):
        for _ in range(STEPS_PER_EPOCH):
            if name in FIGURE_5 and epoch > 30:
                learning_rate = 0.99985 * learning_rate
            rates.append(learning_rate)
        if name in FIGURES_3_AND_4:
            if epoch == 30:
                learning_rate = 0.02
            if epoch == 60:
                learning_rate = 0.004
            if epoch == 90:
                learning_rate = 0.0008
    return np.array(rates)


def authors_momenta(name, losses):
    """The coefficient of every step, as the scripts assign it after the one before."""
    _, below, otherwise = AUTHORS[name]
    momenta = []
    momentum = otherwise
    for step, loss in enumerate(losses):
        i = step % STEPS_PER_EPOCH
        if i == 0:
            running_loss = 0.0
        momenta.append(momentum)
        running_loss += loss
        average = running_loss / (i + 1)
        momentum = below if loss < average else otherwise
    return np.array(momenta)


def run_of(name, *options):
    return parse(["run", "--preset", name, *options], COMMANDS)


def test_every_published_run_has_a_preset():
    baselines = {f"{kind}-{data}" for kind in ("wrn", "cosine") for data in
                 ("cifar10", "cifar100")}  # fmt: skip
    assert set(PRESETS) == set(AUTHORS) | baselines


@pytest.mark.parametrize("name", AUTHORS)
def test_learning_rate_of_every_step_is_the_scripts(name):
    run = run_of(name)
    sizes = {"epochs": run.epochs, "steps_per_epoch": STEPS_PER_EPOCH}
    actual = learning_rates(run.schedule, run.optimizer.learning_rate, **sizes)
    np.testing.assert_allclose(actual.ravel(), authors_learning_rates(name), rtol=2e-7)


@pytest.mark.parametrize("name", AUTHORS)
def test_momentum_of_every_step_is_the_scripts(name):
    config = run_of(name).optimizer
    optimizer = make_optimizer(
        method_of(config),
        hyperparameters_of(config, STEPS_PER_EPOCH),
        jnp.float32(config.learning_rate),
    )
    losses = np.random.default_rng(0).gamma(4.0, 0.5, 2 * STEPS_PER_EPOCH)
    losses = losses.astype(np.float32)

    def step(state, loss):
        _, state = optimizer.update(jnp.ones(1), state, jnp.ones(1), value=loss)
        return state, optax.tree.get(state, "momentum")

    _, momenta = jax.lax.scan(step, optimizer.init(jnp.ones(1)), losses)
    np.testing.assert_array_equal(
        momenta, authors_momenta(name, losses.astype(np.float64)).astype(np.float32)
    )


@pytest.mark.parametrize("name", AUTHORS)
def test_all_else_is_the_scripts(name):
    run = run_of(name)
    assert run.data == Data(
        AUTHORS[name][0], crop_padding=4, flip=True, normalize="imagenet"
    )
    assert run.model == Model(depth=28, widen=10, dtype="float32")
    assert (run.epochs, run.batch_size, run.drop_last) == (150, 128, False)
    assert (run.optimizer.weight_decay, run.optimizer.nesterov) == (5e-4, False)


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_wide_resnet_recipe_is_the_papers(data):
    run = run_of(f"wrn-{data}")
    rates = learning_rates(run.schedule, 0.1, epochs=200, steps_per_epoch=1)
    expected = 60 * [0.1] + 60 * [0.02] + 40 * [0.004] + 40 * [0.0008]
    np.testing.assert_allclose(rates[:, 0], expected, rtol=1e-6)
    sgd = run.optimizer
    assert (sgd.optimizer, sgd.momentum, sgd.nesterov) == ("sgd", 0.9, True)
    assert (sgd.learning_rate, sgd.weight_decay) == (0.1, 5e-4)
    assert (run.epochs, run.batch_size, run.data.data) == (200, 128, data)


def test_options_override_a_preset():
    options = "--data npz:mine.npz --depth 10 --widen 1 --epochs 1 --batch-size 5"
    run = run_of("figure3-lcam-0.9-0.95", *options.split())
    assert run.preset == "figure3-lcam-0.9-0.95"
    assert (run.model.depth, run.model.widen) == (10, 1)
    assert (run.epochs, run.batch_size) == (1, 5)
    assert run.optimizer.high_loss_momentum == 0.95
    assert (run.data.data, run.data.normalize) == ("npz:mine.npz", "imagenet")


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ("--optimizer sgd", {"optimizer": Optimizer("sgd")}),
        (
            "--optimizer=optax.adamw --optimizer-options b1=0.8",
            {"optimizer": Optimizer("optax.adamw", ("b1=0.8",))},
        ),
        ("--schedule cosine", {"schedule": Schedule("cosine")}),
        ("--network mlp", {"model": Model("mlp")}),
        ("--network nets/net.py:make", {"model": Model("nets/net.py:make")}),
        # Those of the preset by their names change nothing.
        ("--optimizer lcam --schedule step", {}),
        ("--network wide_resnet", {"model": Model("wide_resnet", depth=28, widen=10)}),
    ],
)
def test_another_choice_brings_its_own_defaults(options, changed):
    name = "figure3-lcam-0.95-0.9"
    expected = dataclasses.replace(run_of(name), **changed)
    assert run_of(name, *options.split()) == expected


def test_presets_are_listed_with_source_command_result_and_cost(capsys):
    assert main(["presets"]) == 0
    listed = capsys.readouterr().out.split("\n\n")
    assert [entry.splitlines()[0] for entry in listed] == list(PRESETS)
    for entry in listed:
        words = re.findall(r"^  (\w+)", entry, re.M)
        assert words == ["source", "command", "expected", "cost"]
        assert max(map(len, entry.splitlines())) <= 80
