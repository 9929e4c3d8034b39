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
from train.networks import NetworkSpec, make_network_spec
from train.observe import make_observer
from train.optimizers import Hyperparameters, Method, any_hyperparameters
from train.step import (
    DeviceData,
    EpochPlan,
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
      batch_size: examples in each.
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

    def __init__(self, spec: Spec, data: DeviceData):
        start = time.perf_counter()
        self.spec = spec
        self.calls = epoch_calls(spec)
        key = jax.eval_shape(lambda: jax.random.key(0))
        self._init_network = _network_init(spec.network)
        self._init_optimizer = jax.jit(step.make_optimizer_init(spec.method))
        params, batch_stats = jax.eval_shape(self._init_network, key)
        observer = make_observer(spec.observe, spec.method)
        self._init_observer = jax.jit(observer.init)
        opt_state = jax.eval_shape(self._init_optimizer, params)
        observed = jax.eval_shape(self._init_observer, params)
        state = TrainState(params, batch_stats, opt_state, observed)
        self._summarize = jax.jit(observer.summarize).lower(observed).compile()
        plan, hyperparameters = _abstract_arguments(spec, key)
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
        return TrainState(
            params,
            batch_stats,
            self._init_optimizer(params),
            self._init_observer(params),
        )

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

    def observed(self, state: TrainState) -> dict[str, jax.Array]:
        """What was watched of the epoch so far; empty for nothing."""
        return self._summarize(state.observed)


@functools.cache
def _network_init(spec: NetworkSpec) -> Callable[[jax.Array], Any]:
    """Compiled apart: it takes as long as a step does, and more programs share it."""
    return jax.jit(step.make_network_init(spec))


def compile_program(spec: Spec, data: DeviceData) -> Program:
    """Returns the program of a spec and data like these, compiled at the first request.

    Only shapes and dtypes of the data matter.
    """
    return _compiled(
        spec, DeviceData(*(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in data))
    )


@functools.cache
def _compiled(spec: Spec, data: DeviceData) -> Program:
    return Program(spec, data)


def make_spec(config: Experiment, method: Method, dataset: Dataset) -> Spec:
    """Gathers what a program is compiled for.

    Raises:
      InputError: the batch is larger than the training set, or the network is not one
        for such inputs.
    """
    train_size, test_size = len(dataset.train_inputs), len(dataset.test_inputs)
    if config.batch_size > train_size:
        raise InputError(
            f"--batch-size must be at most the {train_size} training examples, got "
            f"{config.batch_size}."
        )
    spec = Spec(
        network=make_network_spec(config.model, dataset),
        train_shape=dataset.train_inputs.shape,
        test_shape=dataset.test_inputs.shape,
        method=method,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        batch_size=config.batch_size,
        drop_last=config.drop_last,
        eval_batch_size=min(config.eval_batch_size, test_size),
        steps_per_call=1,
        observe=config.observe,
    )
    # Where an epoch can take an hour, progress and Ctrl-C must not wait for its end.
    slow = jax.default_backend() == "cpu" and spec.network.has_convolutions
    default = 1 if slow else spec.full_steps
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


@functools.lru_cache(maxsize=4)  # the runs of a study share their data
def put_on_device(
    dataset: Dataset, normalize: str, crop_padding: int, eval_batch_size: int
) -> DeviceData:
    """Pads images, works out their normalisation, and moves all to the device.

    Args:
      dataset: the data.
      normalize: as in `Data`: train, imagenet or none.
      crop_padding: pixels on each side of the training images.
      eval_batch_size: examples a testing step.

    Returns:
      The data on the device; the same arrays for the same data and options.

    Raises:
      InputError: ImageNet's normalisation for images without three channels.
    """
    train_inputs = dataset.train_inputs
    if dataset.is_images:
        mean, std = _normalization(normalize, train_inputs)
        train_inputs = augmentation.pad(train_inputs, crop_padding)
    else:
        mean, std = np.zeros(1, np.float32), np.ones(1, np.float32)

    def batches(examples: np.ndarray) -> np.ndarray:
        fill = np.zeros_like(
            examples, shape=(-len(examples) % eval_batch_size, *examples.shape[1:])
        )
        filled = np.concatenate([examples, fill])
        return filled.reshape(-1, eval_batch_size, *examples.shape[1:])

    return jax.device_put(
        DeviceData(
            train_inputs=train_inputs,
            train_targets=dataset.train_targets,
            test_inputs=batches(dataset.test_inputs),
            test_targets=batches(dataset.test_targets),
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
) -> tuple[EpochPlan, Hyperparameters]:
    def array(dtype, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    plan = EpochPlan(
        order=array(jnp.int32, spec.train_shape[0]),
        learning_rates=array(jnp.float32, spec.steps_per_epoch),
        noise=array(jnp.float32, spec.steps_per_epoch),
        key=key,
    )
    return plan, jax.eval_shape(any_hyperparameters)
