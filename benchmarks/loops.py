"""Training loops to be timed: this project's own, and a plain one in Flax."""

import dataclasses
import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lcam_optax
from train.data.augmentation import pad
from train.data.dataset import Dataset
from train.engine import optimizers
from train.engine.calls import steps_per_call
from train.engine.device_data import IMAGENET_MEAN, IMAGENET_STD, make_data
from train.engine.networks import NetworkSpec, make_network
from train.engine.program import (
    EpochPlan,
    Spec,
    StepMetrics,
    TestMetrics,
    compile_program,
    make_spec,
    no_scores,
)
from train.errors import InputError
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Data

PADDING = 4  # pixels, of which a crop is taken
METHOD = Optimizer("lcam", low_loss_momentum=0.95)


def made_up_images(size: int, side: int = 32, num_classes: int = 10) -> Dataset:
    """Images of noise and labels of chance: what they show takes no time."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, side, side, 3), np.uint8)
    labels = rng.integers(0, num_classes, size).astype(np.int32)
    labels[0] = num_classes - 1
    test = slice(min(size, 2000))
    return Dataset(images, labels, images[test], labels[test], num_classes)


class OurLoop:
    """The compiled calls of `python -m train run`, with LCAM.

    Args:
      experiment: what is trained; the images are cropped, mirrored and normalised as
        the authors'.
      dataset: its data.

    Attributes:
      spec: what the program is compiled for.
      steps_per_call: of each call.
      compile_seconds: how long compiling took.
    """

    def __init__(self, experiment: Experiment, dataset: Dataset):
        data = Data("npz:", crop_padding=PADDING, flip=True, normalize="imagenet")
        if dataset.kind != "images":
            data = experiment.data
        devices = experiment.devices or 1  # its rivals have one
        experiment = dataclasses.replace(experiment, data=data, devices=devices)
        self.spec = make_spec(experiment, optimizers.method_of(METHOD), dataset)
        most = experiment.steps_per_call or steps_per_call(self.spec)
        self.steps_per_call = min(most, self.spec.full_steps)
        self._data = make_data(
            dataset,
            data.normalize,
            self.spec.crop_padding,
            self.spec.eval_batch_size,
            self.spec.num_devices,
        )
        self._program = compile_program(self.spec)
        self._hyperparameters = optimizers.hyperparameters_of(
            METHOD, self.spec.steps_per_epoch
        )
        self._state = self._program.init(np.uint32(0))
        self._plan = make_plan(self.spec, jax.random.key(0))
        start = time.perf_counter()
        self._program.train.lower(
            *self._arguments(0),
            count=self.steps_per_call,
            batch_size=self.spec.batch_size,
        ).compile()
        self.compile_seconds = time.perf_counter() - start
        # Whole calls only; an epoch's left-over steps would be timed apart.
        starts = range(0, self.spec.full_steps + 1 - self.steps_per_call)
        self._firsts = itertools.cycle(starts[:: self.steps_per_call])

    def _arguments(self, first: int) -> tuple[Any, ...]:
        """Of a call that begins with the step `first`."""
        return (
            self._state,
            self._data,
            self._plan,
            self._hyperparameters,
            np.int32(first),
        )

    def network(self) -> nnx.Module:
        """The network with its present weights."""
        abstract = nnx.eval_shape(
            lambda: make_network(self.spec.network, jax.random.key(0))
        )
        graph = nnx.split(abstract, nnx.Param, nnx.BatchStat)[0]
        return nnx.merge(graph, self._state.params, self._state.batch_stats)

    def steps_taken(self) -> int:
        """How many steps the optimizer has counted."""
        return int(optax.tree.get(self._state.opt_state, "count"))

    def run(self, steps: int) -> StepMetrics:
        """Takes steps, a multiple of those of a call, and waits for them."""
        return jax.block_until_ready(self.dispatch(steps))

    def dispatch(self, steps: int) -> StepMetrics:
        """Hands steps to the device; returns what will be the last call's metrics."""
        if steps % self.steps_per_call:
            raise InputError(
                f"an epoch's {self.spec.full_steps} steps are too few for "
                f"{steps} in a round: take more data, or fewer steps."
            )
        for first in itertools.islice(self._firsts, steps // self.steps_per_call):
            self._state, metrics = self._program.train(
                *self._arguments(first),
                count=self.steps_per_call,
                batch_size=self.spec.batch_size,
            )
        return metrics

    def test(self) -> TestMetrics:
        """Scores the whole test set, and waits for the score."""
        return jax.block_until_ready(
            self._program.test(
                self._state,
                self._data,
                no_scores(self.spec),
                first=0,
                count=self.spec.test_batches,
            )
        )


def make_plan(spec: Spec, key: jax.Array) -> EpochPlan:
    """Some epoch's plan, with a small learning rate."""
    order = jax.random.permutation(key, spec.train_size)
    return EpochPlan(
        order=order.astype(jnp.int32),
        learning_rates=jnp.full(spec.steps_per_epoch, 0.01),
        noise=jnp.zeros(spec.steps_per_epoch),
        key=key,
    )


def numpy_augmented(
    images: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The augmentation as a user of NumPy writes it, a batch at a time.

    Args:
      images: uint8 [size, height + 2 PADDING, width + 2 PADDING, channels].
      rows: integers [batch].
      rng: of the randomness.

    Returns:
      float32 [batch, height, width, channels], normalised.
    """
    height, width = (side - 2 * PADDING for side in images.shape[1:3])
    corners = rng.integers(0, 2 * PADDING + 1, (2, len(rows), 1))
    down, across = np.arange(height), np.arange(width)
    flipped = rng.random((len(rows), 1)) < 0.5
    across = np.where(flipped, across[::-1], across)
    chosen = images[
        rows[:, None, None],
        (corners[0] + down)[:, :, None],
        (corners[1] + across)[:, None, :],
    ]
    mean, std = np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD)
    return (chosen.astype(np.float32) / 255 - mean) / std


class FlaxLoop:
    """A plain loop in Flax: `nnx.jit`, `nnx.Optimizer`, batches made by NumPy."""

    def __init__(self, spec: NetworkSpec, dataset: Dataset, batch_size: int):
        self._network = nnx.jit(make_network, static_argnums=0)(spec, jax.random.key(0))
        optimizer = optax.chain(
            optax.add_decayed_weights(5e-4), lcam_optax.lcam(0.01, 0.9, 0.95)
        )
        self._optimizer = nnx.Optimizer(self._network, optimizer, wrt=nnx.Param)
        self._images = pad(dataset.train_inputs, PADDING)
        self._labels = dataset.train_targets
        self._batch_size = batch_size
        self._rng = np.random.default_rng(0)
        self._order = np.empty(0, np.int64)

    def run(self, steps: int) -> None:
        """Takes steps, and waits for the last loss."""
        jax.block_until_ready(self.dispatch(steps))

    def dispatch(self, steps: int) -> jax.Array:
        """Hands steps to the device; returns what will be the last loss."""
        for _ in range(steps):
            if len(self._order) < self._batch_size:
                self._order = self._rng.permutation(len(self._images))
            rows = self._order[: self._batch_size]
            self._order = self._order[self._batch_size :]
            images = numpy_augmented(self._images, rows, self._rng)
            loss = _flax_step(
                self._network, self._optimizer, images, self._labels[rows]
            )
        return loss


@nnx.jit
def _flax_step(
    network: nnx.Module, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array
) -> jax.Array:
    def loss_fn(network: nnx.Module) -> jax.Array:
        logits = network(images, train=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses)

    loss, grads = nnx.value_and_grad(loss_fn)(network)
    optimizer.update(network, grads, value=loss)
    return loss
