"""Compiles an experiment's programs, once for all arms and seeds that share them."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from train import augmentation, step
from train.config import Experiment
from train.dataset import Dataset
from train.errors import InputError
from train.optimizers import Hyperparameters, Method
from train.step import (
    DeviceData,
    EpochPlan,
    NetworkSpec,
    Spec,
    StepMetrics,
    TestMetrics,
    TrainState,
)

# Mean and deviation of ImageNet's pixels: the authors normalise with these
# (py_Figure3_Cifar10.py:17), which torchvision documents for its pretrained models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Call(NamedTuple):
    """One call of the compiled training program within an epoch.

    Attributes:
      first: number of its first step in the epoch.
      num_steps: steps it takes.
      batch_size: images in each.
    """

    first: int
    num_steps: int
    batch_size: int


class Program:
    """The compiled functions of one `Spec`.

    Attributes:
      spec: what they are compiled for.
      calls: the calls that make up an epoch.
      compile_seconds: how long compiling training and testing took.
    """

    def __init__(self, spec: Spec):
        start = time.perf_counter()
        self.spec = spec
        self.calls = epoch_calls(spec)
        key = jax.eval_shape(lambda: jax.random.key(0))
        self._init_network = _network_init(spec.network)
        self._init_optimizer = jax.jit(step.make_optimizer_init(spec.method))
        params, batch_stats = jax.eval_shape(self._init_network, key)
        opt_state = jax.eval_shape(self._init_optimizer, params)
        state = TrainState(params, batch_stats, opt_state)
        data, plan, hyperparameters = _abstract_arguments(spec, key)
        index = jax.ShapeDtypeStruct((), jnp.int32)
        self._train = {
            size: jax.jit(
                step.make_train(spec, num_steps=size[0], batch_size=size[1]),
                donate_argnums=0,
            )
            .lower(state, data, plan, hyperparameters, index)
            .compile()
            for size in {(call.num_steps, call.batch_size) for call in self.calls}
        }
        self._test = jax.jit(step.make_test(spec)).lower(state, data).compile()
        self.compile_seconds = time.perf_counter() - start

    def init(self, key: jax.Array) -> TrainState:
        """Returns fresh weights and optimizer state."""
        params, batch_stats = self._init_network(key)
        return TrainState(params, batch_stats, self._init_optimizer(params))

    def train(
        self,
        call: Call,
        state: TrainState,
        data: DeviceData,
        plan: EpochPlan,
        hyperparameters: Hyperparameters,
    ) -> tuple[TrainState, StepMetrics]:
        """Takes the steps of one call. `state` is given up: its memory is reused."""
        run = self._train[call.num_steps, call.batch_size]
        return run(state, data, plan, hyperparameters, np.int32(call.first))

    def test(self, state: TrainState, data: DeviceData) -> TestMetrics:
        """Scores the whole test set."""
        return self._test(state, data)


@functools.cache
def _network_init(spec: NetworkSpec) -> Callable[[jax.Array], Any]:
    """Compiled apart: it takes as long as a step does, and more programs share it."""
    return jax.jit(step.make_network_init(spec))


@functools.cache
def compile_program(spec: Spec) -> Program:
    """Returns the program of a spec, compiled at the first request."""
    return Program(spec)


def make_spec(config: Experiment, method: Method, dataset: Dataset) -> Spec:
    """Gathers what a program is compiled for.

    Raises:
      InputError: the batch is larger than the training set.
    """
    train_size, test_size = len(dataset.train_images), len(dataset.test_images)
    if config.batch_size > train_size:
        raise InputError(
            f"--batch-size must be at most the {train_size} training images, got "
            f"{config.batch_size}."
        )
    spec = Spec(
        network=NetworkSpec(
            depth=config.model.depth,
            widen=config.model.widen,
            num_classes=dataset.num_classes,
            channels=dataset.train_images.shape[-1],
            dtype=config.model.dtype,
        ),
        train_shape=dataset.train_images.shape,
        test_shape=dataset.test_images.shape,
        method=method,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        batch_size=config.batch_size,
        drop_last=config.drop_last,
        eval_batch_size=min(config.eval_batch_size, test_size),
        steps_per_call=1,
    )
    # On a CPU, XLA's fast convolutions are found only outside of loops
    # (https://github.com/jax-ml/jax/issues/12868).
    default = 1 if jax.default_backend() == "cpu" else spec.full_steps
    steps_per_call = config.steps_per_call or default
    return spec._replace(steps_per_call=min(steps_per_call, spec.full_steps))


def epoch_calls(spec: Spec) -> list[Call]:
    """Splits an epoch into calls: chunks, single steps for the rest, the last batch."""
    chunks = spec.full_steps // spec.steps_per_call
    calls = [
        Call(index * spec.steps_per_call, spec.steps_per_call, spec.batch_size)
        for index in range(chunks)
    ]
    calls += [
        Call(first, 1, spec.batch_size)
        for first in range(chunks * spec.steps_per_call, spec.full_steps)
    ]
    if spec.last_batch_size:
        calls.append(Call(spec.full_steps, 1, spec.last_batch_size))
    return calls


def put_on_device(config: Experiment, dataset: Dataset, spec: Spec) -> DeviceData:
    """Pads the images, works out the normalisation, and moves all to the device.

    Raises:
      InputError: ImageNet's normalisation for images without three channels.
    """
    mean, std = _normalization(config.data.normalize, dataset.train_images)
    num_test = len(dataset.test_images)
    fill = -num_test % spec.eval_batch_size
    batches = (-1, spec.eval_batch_size)
    return jax.device_put(
        DeviceData(
            train_images=augmentation.pad(dataset.train_images, spec.crop_padding),
            train_labels=dataset.train_labels,
            test_images=np.pad(
                dataset.test_images, ((0, fill), (0, 0), (0, 0), (0, 0))
            ).reshape(batches + spec.test_shape[1:]),
            test_labels=np.pad(
                dataset.test_labels, (0, fill), constant_values=-1
            ).reshape(batches),
            mean=mean,
            std=std,
        )
    )


def _normalization(kind: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels = images.shape[-1]
    match kind:
        case "none":
            mean, std = np.zeros(channels), np.ones(channels)
        case "imagenet":
            if channels != 3:
                raise InputError(
                    "--normalize imagenet needs images of 3 channels, these have "
                    f"{channels}: use --normalize train."
                )
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        case "train":
            mean, std = pixel_statistics(images)
    return np.asarray(mean, np.float32), np.asarray(std, np.float32)


def pixel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation per channel of pixels in [0, 1], float64 [channels].

    Exact, from the counts of the 256 values: no copy of the images as floats. The
    deviation of a constant channel is given as 1.
    """
    values = np.arange(256) / 255
    counts = np.stack(
        [
            np.bincount(channel.ravel(), minlength=256)
            for channel in np.moveaxis(images, -1, 0)
        ]
    )
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.sum(share * (values - mean[:, np.newaxis]) ** 2, axis=1))
    return mean, np.where(std > 0, std, 1.0)


def _abstract_arguments(
    spec: Spec, key: jax.ShapeDtypeStruct
) -> tuple[DeviceData, EpochPlan, Hyperparameters]:
    def array(dtype, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    size, height, width, channels = spec.train_shape
    num_batches = -(-spec.test_shape[0] // spec.eval_batch_size)
    data = DeviceData(
        train_images=array(
            jnp.uint8,
            size,
            height + 2 * spec.crop_padding,
            width + 2 * spec.crop_padding,
            channels,
        ),
        train_labels=array(jnp.int32, size),
        test_images=array(
            jnp.uint8, num_batches, spec.eval_batch_size, height, width, channels
        ),
        test_labels=array(jnp.int32, num_batches, spec.eval_batch_size),
        mean=array(jnp.float32, channels),
        std=array(jnp.float32, channels),
    )
    plan = EpochPlan(
        order=array(jnp.int32, size),
        learning_rates=array(jnp.float32, spec.steps_per_epoch),
        noise=array(jnp.float32, spec.steps_per_epoch),
        key=key,
    )
    scalars = [array(jnp.float32)] * len(Hyperparameters._fields)
    hyperparameters = Hyperparameters(*scalars)._replace(
        steps_per_epoch=array(jnp.int32)
    )
    return data, plan, hyperparameters
