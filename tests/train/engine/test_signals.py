"""What decides the phase, against a slow reference in NumPy, step by step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.train.engine.test_calls import dataset
from train.engine import device_data, optimizers
from train.engine.device_data import make_data
from train.engine.program import EpochPlan, compile_program, make_spec
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Model

SIZE, BATCH, EPOCHS, DECAY = 12, 3, 3, 0.6
STEPS = SIZE // BATCH


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    made = dataset(SIZE)
    inputs = rng.integers(0, 256, made.train_inputs.shape).astype(np.uint8)
    targets = rng.integers(0, made.num_classes, SIZE).astype(np.int32)
    return dataclasses.replace(made, train_inputs=inputs, train_targets=targets)


def losses(params, images, targets, data):
    """Cross-entropy of each example, by NumPy; the network has one hidden layer."""
    layers = nnx.to_pure_dict(params)["layers"]
    x = (images / 255 - np.asarray(data.mean)) / np.asarray(data.std)
    x = x.reshape(len(x), -1)
    for index in (0, 1):
        layer = layers[index]
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        x = np.maximum(x, 0) if index == 0 else x
    largest = x.max(axis=1)
    total = largest + np.log(np.exp(x - largest[:, np.newaxis]).sum(axis=1))
    return total - x[np.arange(len(x)), targets]


def trained(images, phase):
    """Each step: the weights before it, its batch, its phase and average."""
    config = Optimizer(phase=phase, ema_decay=DECAY, learning_rate=0.05)
    experiment = Experiment(model=Model("mlp", hidden=(5,)), batch_size=BATCH)
    spec = make_spec(experiment, optimizers.method_of(config), images)
    data = make_data(images, "train", 0, spec.eval_batch_size, 1)
    compiled = compile_program(spec)
    state = compiled.init(np.uint32(0))
    numbers = optimizers.hyperparameters_of(config, STEPS)
    rng = np.random.default_rng(1)
    for _ in range(EPOCHS):
        order = rng.permutation(SIZE).astype(np.int32)
        plan = EpochPlan(
            jnp.asarray(order),
            jnp.full(STEPS, 0.05),
            jnp.zeros(STEPS),
            jax.random.key(2),
        )
        for step in range(STEPS):
            params = jax.device_get(state.params)
            state, metrics = compiled.train(
                *(state, data, plan, numbers, np.int32(step)),
                count=1,
                batch_size=BATCH,
            )
            chosen = order[step * BATCH : (step + 1) * BATCH]
            found = float(metrics.phase[step]), float(metrics.average_loss[step])
            yield params, chosen, found, data


class Average:
    """Bias-corrected, as in the paper of Adam."""

    def __init__(self):
        self.sum = self.count = 0

    def add(self, number):
        """Takes a number in, and returns the average with it."""
        self.count += 1
        self.sum = DECAY * self.sum + (1 - DECAY) * number
        return self.sum / (1 - DECAY**self.count)


@pytest.fixture
def fixed(monkeypatch):
    """A fixed batch of every third example."""
    make_data.cache_clear()
    monkeypatch.setattr(device_data, "FIXED", SIZE // 3)
    yield np.arange(0, SIZE, 3)
    make_data.cache_clear()


def test_fixed_signal_is_the_loss_on_the_fixed_batch(images, fixed):
    average, phases = Average(), []
    for params, _, (phase, found), data in trained(images, "fixed"):
        inputs, targets = images.train_inputs[fixed], images.train_targets[fixed]
        loss = losses(params, inputs, targets, data).mean()
        expected = average.add(loss)
        assert found == pytest.approx(expected, rel=1e-4)
        assert phase == (loss < expected)
        phases.append(phase)
    assert len(set(phases)) == 2


def test_examples_signal_takes_away_how_hard_its_examples_were(images):
    average, remembered, phases, plain = Average(), {}, [], []
    for params, chosen, (phase, found), data in trained(images, "examples"):
        inputs, targets = images.train_inputs[chosen], images.train_targets[chosen]
        each = losses(params, inputs, targets, data)
        signal = each.mean() - np.mean([remembered.get(i, 0.0) for i in chosen])
        expected = average.add(signal)
        assert found == pytest.approx(expected, rel=1e-4)
        assert phase == (signal < expected)
        remembered |= dict(zip(chosen, each - expected, strict=True))
        phases.append(phase)
        plain.append(each.mean() < expected)
    assert len(set(phases)) == 2
    assert phases != plain
