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
from train.data.sources import load_dataset
from train.engine import devices, optimizers
from train.engine.device_data import make_data
from train.engine.program import EpochPlan, compile_program, make_spec, no_scores
from train.errors import InputError
from train.runs import loop, records
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Data, Model

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """64 training and 24 test images of 8x8."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **two_classes({"train": 64, "test": 24}, side=8, channels=1))
    return f"npz:{path}"


@pytest.fixture(scope="module")
def dataset(npz):
    return load_dataset(Data(npz))


NORMALISED = {"model": Model("wide_resnet")}


class Epoch:
    """One on so many devices, of a small network that compiles fast."""

    def __init__(self, dataset, num_devices, **options):
        config = {"model": Model("mlp"), "batch_size": 16}
        experiment = Experiment(
            data=Data("npz:", crop_padding=1, flip=True),
            devices=num_devices,
            **config | options,
        )
        optimizer = Optimizer("lcam", learning_rate=0.01, ema_decay=0.5)
        spec = make_spec(experiment, optimizers.method_of(optimizer), dataset)
        data = make_data(dataset, "train", 1, spec.eval_batch_size, num_devices)
        self.program, steps = compile_program(spec), spec.steps_per_epoch
        order, key, noise, _ = self.program.draw(np.uint32(0), np.int32(0))
        [rates] = optimizers.learning_rates(
            experiment.schedule, 0.01, epochs=1, steps_per_epoch=steps
        )
        self.state = self.program.init(np.uint32(0))
        self.arguments = devices.put(
            (
                data,
                EpochPlan(order, rates, noise, key),
                optimizers.hyperparameters_of(optimizer, steps),
            ),
            num_devices,
        )
        self.losses, self.phases = [], []
        for size in dict.fromkeys((spec.batch_size, spec.last_batch_size)):
            if size:
                self._take(spec, size)
        scores = devices.put(no_scores(spec), num_devices)
        self.tested = self.program.test(
            self.state, data, scores, first=0, count=spec.test_batches
        )

    def _take(self, spec, size):
        """The steps with so many examples."""
        is_last = size < spec.batch_size
        first, count = (spec.full_steps, 1) if is_last else (0, spec.full_steps)
        self.state, metrics = self.program.train(
            self.state, *self.arguments, np.int32(first), count=count, batch_size=size
        )
        self.losses += metrics.loss[first : first + count].tolist()
        self.phases += metrics.phase[first : first + count].tolist()


@pytest.mark.parametrize(
    ("number", "options"),
    [pytest.param(2, {}, marks=pytest.mark.torture), (8, NORMALISED)],
)
def test_devices_share_the_steps_of_one(dataset, number, options):
    ours, alone = Epoch(dataset, number, **options), Epoch(dataset, 1, **options)
    # What rounding does to the first loss, four steps make more of.
    np.testing.assert_allclose(ours.losses[0], alone.losses[0], rtol=1e-6)
    np.testing.assert_allclose(ours.losses, alone.losses, rtol=1e-3)
    assert ours.phases == alone.phases
    assert len(set(ours.phases)) == 2
    # Of the whole batch: statistics of each device's part would be far off.
    for mine, theirs in zip(
        jax.tree.leaves(ours.state.batch_stats),
        jax.tree.leaves(alone.state.batch_stats),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(ours.tested.loss, alone.tested.loss, rtol=1e-3)


def test_all_devices_are_in_the_same_phase(dataset):
    state = Epoch(dataset, 8).state
    for name in ("phase", "average_loss", "momentum"):
        array = optax.tree.get(state.opt_state, name)
        assert len({float(part.data) for part in array.addressable_shards}) == 1
        assert len(array.addressable_shards) == 8


@pytest.mark.torture
def test_batch_need_not_divide(dataset):
    options = {"batch_size": 20, "drop_last": False}  # and a last batch of 4
    ours, theirs = (Epoch(dataset, number, **options) for number in (8, 1))
    assert len(ours.losses) == 4
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-3)


def test_examples_and_activations_stay_on_their_devices(dataset):
    epoch = Epoch(dataset, 8, **NORMALISED)
    arguments = (epoch.state, *epoch.arguments, np.int32(0))
    lowered = epoch.program.train.lower(*arguments, count=1, batch_size=16)
    text = lowered.compile().as_text()
    kinds = set(re.findall(r" (all-\w+|collective-\w+|reduce-scatter)\(", text))
    assert kinds == {"all-reduce"}  # sums of gradients, losses and statistics


@pytest.mark.torture
@pytest.mark.parametrize(("first", "then"), [("1", "8"), ("8", "1")])
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


@pytest.mark.parametrize(
    ("backend", "number", "network", "is_told"),
    [
        ("gpu", "8", [], True),
        ("gpu", "8", ["--network", "mlp", "--hidden", "40000", "40000"], False),
        ("gpu", "1", [], False),
        ("cpu", "8", [], False),
    ],
)
def test_accelerators_with_little_to_do_are_told_before_training(
    npz, tmp_path, monkeypatch, capsys, backend, number, network, is_told
):
    def end(self):
        raise InputError("enough")

    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(loop._Training, "run", end)
    devices.remark_share.cache_clear()
    options = ["--batch-size", "16", "--devices", number, "--out", str(tmp_path / "a")]
    assert main(["run", "--data", npz, *network, *options]) == 2
    errors = capsys.readouterr().err
    assert ("each of 8 devices has 2 of a step's 16 examples. " in errors) == is_told
    assert ("--devices 1 may be as fast" in errors) == is_told


def test_memory_that_does_not_suffice_is_told():
    message = "memory is too small: RESOURCE_EXHAUSTED: .*Take a smaller network"
    with pytest.raises(InputError, match=message), devices.enough_memory():
        jax.numpy.zeros((10**7, 10**7)).block_until_ready()  # 400 TB


def test_other_failures_are_not_taken_for_want_of_memory():
    with pytest.raises(RuntimeError, match="other"), devices.enough_memory():
        raise RuntimeError("other")
