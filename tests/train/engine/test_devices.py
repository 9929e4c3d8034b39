"""Several devices, here eight virtual ones of a CPU, train what one device trains."""

import json
import re
import shutil

import jax
import numpy as np
import optax
import pytest

from tests.train.two_classes import two_classes
from train.__main__ import main
from train.data.dataset import Dataset
from train.engine import devices, feed, optimizers, program
from train.engine.spec import Call
from train.errors import InputError
from train.runs import records
from train.runs.training import Training
from train.settings.experiment import Experiment, make_run
from train.settings.optimizer import Optimizer
from train.settings.options import Data, Model

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def arrays():
    """64 training and 24 test images of 8x8."""
    return two_classes({"train": 64, "test": 24}, side=8, channels=1)


@pytest.fixture(scope="module")
def dataset(arrays):
    labels = {
        split: arrays[f"y_{split}"].astype(np.int32) for split in ("train", "test")
    }
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    return Dataset(x_train, labels["train"], x_test, labels["test"], 2)


@pytest.fixture(scope="module")
def npz(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


NORMALISED = {"model": Model("wide_resnet")}


def begin(dataset, num_devices, **options):
    """A run on so many devices, of a small network that compiles fast."""
    config = {"model": Model("mlp"), "batch_size": 16, "steps_per_call": 1}
    experiment = Experiment(
        data=Data("npz:", crop_padding=1, flip=True),
        devices=num_devices,
        **config | options,
    )
    optimizer = Optimizer("lcam", learning_rate=0.01, ema_decay=0.5)
    spec = program.make_spec(experiment, optimizers.method_of(optimizer), dataset)
    fed = feed.make_feed(dataset, spec, "train")
    return Training(make_run(experiment, optimizer=optimizer), spec, fed, None), spec


def first_epoch(training, spec):
    for _ in training.take_steps(0, 0):
        training.arrived()
    training.rest()
    return training.metrics(spec.steps_per_epoch)


@pytest.mark.parametrize(
    ("number", "options"),
    [pytest.param(2, {}, marks=pytest.mark.torture), (8, NORMALISED)],
)
def test_devices_share_the_steps_of_one(dataset, number, options):
    training, spec = begin(dataset, number, **options)
    metrics, state = first_epoch(training, spec), training.snapshot().state
    alone, spec = begin(dataset, 1, **options)
    expected, snapshot = first_epoch(alone, spec), alone.snapshot()
    # What rounding does to the first loss, four steps make more of.
    np.testing.assert_allclose(metrics.loss[0], expected.loss[0], rtol=1e-6)
    np.testing.assert_allclose(metrics.loss, expected.loss, rtol=1e-3)
    np.testing.assert_array_equal(metrics.phase, expected.phase)
    assert len(np.unique(metrics.phase)) == 2
    # Of the whole batch: statistics of each device's part would be far off.
    for ours, theirs in zip(
        jax.tree.leaves(state.batch_stats),
        jax.tree.leaves(snapshot.state.batch_stats),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(training.test().loss, alone.test().loss, rtol=1e-3)


def test_all_devices_are_in_the_same_phase(dataset):
    training, spec = begin(dataset, 8)
    first_epoch(training, spec)
    for name in ("phase", "average_loss", "momentum"):
        array = optax.tree.get(training._state.opt_state, name)
        assert len({float(part.data) for part in array.addressable_shards}) == 1
        assert len(array.addressable_shards) == 8


@pytest.mark.torture
def test_batch_need_not_divide(dataset):
    options = {"batch_size": 20, "drop_last": False}  # and a last batch of 4
    ours = first_epoch(*begin(dataset, 8, **options))
    theirs = first_epoch(*begin(dataset, 1, **options))
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-3)


@pytest.mark.parametrize(
    ("batch_size", "steps"), [(16, 4), pytest.param(20, 3, marks=pytest.mark.torture)]
)
def test_host_sends_each_device_what_it_would_take_itself(dataset, batch_size, steps):
    options = {"batch_size": batch_size, "steps_per_call": steps}
    ours = first_epoch(*begin(dataset, 8, data_on="host", **options))
    theirs = first_epoch(*begin(dataset, 8, data_on="device", **options))
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)


def test_device_gets_its_part_of_each_batch_only(dataset):
    training, spec = begin(dataset, 8, data_on="host", steps_per_call=2)
    plan = training._planner.plan(0)
    [_, (call, data, _)] = training._feed.calls(
        [Call(0, 2, 16), Call(2, 2, 16)], plan, spec
    )
    assert call.first == 2
    for part in data.train_inputs.addressable_shards:
        assert part.data.shape == (2, 2, 10, 10, 1)
        rows = np.array(plan.order)[32:].reshape(2, 16)[part.index[:2]]
        expected = np.pad(
            dataset.train_inputs[rows], [(0, 0)] * 2 + [(1, 1)] * 2 + [(0, 0)]
        )
        np.testing.assert_array_equal(part.data, expected)


@pytest.mark.parametrize(
    "data_on", ["device", pytest.param("host", marks=pytest.mark.torture)]
)
def test_examples_and_activations_stay_on_their_devices(dataset, data_on):
    training, _ = begin(dataset, 8, data_on=data_on, **NORMALISED)
    text = training.compiled._train_of(Call(0, 1, 16)).as_text()
    kinds = set(re.findall(r" (all-\w+|collective-\w+|reduce-scatter)\(", text))
    assert kinds == {"all-reduce"}  # sums of gradients, losses and statistics


@pytest.mark.parametrize(
    ("first", "then"), [("1", "8"), pytest.param("8", "1", marks=pytest.mark.torture)]
)
def test_run_goes_on_with_other_devices(npz, tmp_path, first, then):
    options = ["--batch-size", "16", "--learning-rate", "0.01", "--epochs", "2"]
    options += ["--network", "mlp", "--checkpoint-every", "1"]
    command = ["run", "--data", npz, *options]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*command, "--devices", first, "--out", str(whole)]) == 0
    assert main([*command, "--devices", first, "--out", str(parts)]) == 0
    shutil.rmtree(parts / "checkpoints" / "8")  # as if it had ended before
    again = ["--devices", then, "--out", str(parts), "--resume"]
    assert main([*command, *again]) == 0
    ours, theirs = map(records.read_steps, (parts, whole))
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-3)
    assert ours["phase"] == theirs["phase"]
    entries = json.loads((parts / "provenance.json").read_text())
    assert [entry["num_devices"] for entry in entries] == [int(first), int(then)]


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(InputError, match="--devices must be at most 8, the number"):
        devices.count(9)


def test_memory_that_does_not_suffice_is_told():
    message = "memory is too small: RESOURCE_EXHAUSTED: .*Take a smaller network"
    with pytest.raises(InputError, match=message), devices.enough_memory():
        jax.numpy.zeros((10**7, 10**7)).block_until_ready()  # 400 TB


def test_other_failures_are_not_taken_for_want_of_memory():
    with pytest.raises(RuntimeError, match="other"), devices.enough_memory():
        raise RuntimeError("other")
