"""Compiles an experiment's programs, once for all arms and seeds that share them."""

import contextlib
import functools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from train.data.dataset import Dataset, check_batch
from train.engine import devices, feed, networks, step
from train.engine.flops import training_flops
from train.engine.networks import NetworkSpec, make_network_spec
from train.engine.observers import make_observer
from train.engine.optimizers import Hyperparameters, Method, any_hyperparameters
from train.engine.pace import Pace
from train.engine.plan import make_draw
from train.engine.spec import Call, Spec, epoch_calls
from train.engine.types import (
    DeviceData,
    EpochPlan,
    StepMetrics,
    TestMetrics,
    TrainState,
)
from train.errors import InputError
from train.settings.experiment import Experiment

# Bytes of training examples that the host sends for one call: enough steps to hide what
# a call costs, and little beside the device's memory.
CALL_BYTES = 2**26

# Operations in one call on an accelerator, some seconds of an H200: a signal waits for
# a call. An epoch of WRN-28-10 on CIFAR takes 1.6 * 10**15. On a CPU the run's clock
# decides.
CALL_FLOPS = 2 * 10**15

# XLA's default hands convolutions to YNNPACK; many of them were twice as fast without.
# Its sums over arrays, as in normalisation, are kept (docs/speed.md has the figures).
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


class Program:
    """The compiled functions of one `Spec`.

    Attributes:
      spec: what they are compiled for.
      calls: the calls that make up an epoch.
      draw: compiled, of `train.engine.plan.make_draw`.
      pace: of its counted calls, kept from run to run.
      test_pace: of those that test.
      compile_seconds: how long compiling took, all of it.
    """

    def __init__(self, spec: Spec, data: DeviceData):
        start = time.perf_counter()
        self.spec = spec
        self.calls = list(epoch_calls(spec))
        self.pace, self.test_pace = Pace(), Pace()
        observer = make_observer(spec.observe, spec.method)
        self._init_network = network_init(spec.network)
        self.draw = _draw(spec.train_shape[0], spec.steps_per_epoch)
        self._init_optimizer = jax.jit(step.make_optimizer_init(spec.method))
        self._init_observer = jax.jit(observer.init)
        init = networks.make_network_init(spec.network)
        network = jax.eval_shape(init, _abstract_key())
        state = jax.eval_shape(self._begin, *network)
        self._everywhere = partial(_everywhere, spec.num_devices)
        self._compile = partial(_compile, spec.num_devices)
        self._abstract = self._everywhere((state, data))
        self._summarize = self._compile(observer.summarize, self._abstract[0].observed)
        self._test = _compile_test(spec, *self._abstract)
        self._train: dict[tuple[int, int], jax.stages.Compiled] = {}
        for call in self.calls:
            self._train_of(call)
        self.compile_seconds = time.perf_counter() - start

    def init(self, key: jax.Array) -> TrainState:
        """Returns fresh weights and optimizer state."""
        state = self._begin(*self._init_network(key))
        return devices.put(state, self.spec.num_devices)

    def _begin(self, params: nnx.State, batch_stats: nnx.State) -> TrainState:
        return TrainState(
            params,
            batch_stats,
            self._init_optimizer(params),
            self._init_observer(params),
            step.make_memory(self.spec),
        )

    def _train_of(self, call: Call) -> jax.stages.Compiled:
        """What takes a call's steps, compiled when a call of its size first comes."""
        size = self.spec.room(call), call.batch_size
        if size not in self._train:
            state, data = self._abstract
            data, *rest = _abstract_arguments(self.spec, data, *size)
            train = step.make_train(self.spec, num_steps=size[0], batch_size=size[1])
            arguments = (state, data, *self._everywhere(rest))
            self._train[size] = self._compile(train, *arguments, donate_argnums=0)
        return self._train[size]

    def train(
        self,
        call: Call,
        state: TrainState,
        data: DeviceData,
        plan: EpochPlan,
        hyperparameters: Hyperparameters,
    ) -> tuple[TrainState, StepMetrics]:
        """Takes the steps of one call. `state` is given up: its memory is reused.

        The metrics have room for `spec.room(call)` steps; the call's come first.
        """
        steps = [np.int32(call.first)]
        if self.spec.counted:
            steps.append(np.int32(call.num_steps))
        return self._train_of(call)(state, data, plan, hyperparameters, *steps)

    def test(
        self,
        state: TrainState,
        data: DeviceData,
        scores: TestMetrics | None = None,
        first: int = 0,
        count: int | None = None,
    ) -> TestMetrics:
        """Scores `count` batches of the test set from `first` on; None: all.

        `scores` are those of the batches before; they are given up.
        """
        numbers = []
        if self.spec.counted:
            count = self.spec.test_batches if count is None else count
            numbers = [np.int32(first), np.int32(count)]
        return self._test(state, data, scores or no_scores(self.spec), *numbers)

    def observed(self, state: TrainState) -> dict[str, jax.Array]:
        """What was watched of the epoch so far; empty for nothing."""
        return self._summarize(state.observed)


def _everywhere(num_devices: int, tree: Any) -> Any:
    """Abstract arrays, whole on every device."""
    sharding = devices.everywhere(num_devices)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )


def _compile(
    num_devices: int, function: Callable, *arguments: Any, **options: Any
) -> jax.stages.Compiled:
    """Compiles for such arguments; what comes out is whole on every device."""
    sharding = devices.everywhere(num_devices)
    lowered = jax.jit(function, out_shardings=sharding, **options).lower(*arguments)
    # An experimental option: a JAX that has it no more does without.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        return lowered.compile(compiler_options=compiler_options())
    return lowered.compile()


def no_scores(spec: Spec) -> TestMetrics:
    """The scores before any batch is scored."""
    zeros = np.zeros((len(TestMetrics._fields), spec.test_batches), np.float32)
    return devices.put(TestMetrics(*zeros), spec.num_devices)


def score(spec: Spec, state: TrainState, data: DeviceData) -> TestMetrics:
    """Scores the test set alone, with the numbers of the whole program."""
    test = _compile_test(spec, *_everywhere(spec.num_devices, (state, data)))
    numbers = [np.int32(0), np.int32(spec.test_batches)] if spec.counted else []
    return test(state, data, no_scores(spec), *numbers)


def _compile_test(spec: Spec, *abstract: Any) -> jax.stages.Compiled:
    """Compiles the test for a state and data like these."""
    sums = jax.ShapeDtypeStruct((spec.test_batches,), jnp.float32)
    scores = _everywhere(spec.num_devices, TestMetrics(sums, sums))
    numbers = [jax.ShapeDtypeStruct((), jnp.int32)] * 2 if spec.counted else []
    return _compile(
        spec.num_devices,
        step.make_test(spec),
        *(*abstract, scores, *_everywhere(spec.num_devices, numbers)),
        donate_argnums=2,
    )


def compiler_options() -> dict[str, Any]:
    """What the compiler is told besides, on this kind of device."""
    return CPU_OPTIONS if jax.default_backend() == "cpu" else {}


def _abstract_key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(jax.random.key, 0)


@functools.cache
def network_init(spec: NetworkSpec) -> jax.stages.Compiled:
    """Compiles `init(key) -> (params, batch_stats)`, which programs share."""
    return _compile_soon(networks.make_network_init(spec), _abstract_key())


@functools.cache
def _draw(size: int, steps: int) -> jax.stages.Compiled:
    """Compiles what draws an epoch's random numbers, which programs share."""
    seed, epoch = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.uint32, jnp.int32))
    return _compile_soon(make_draw(size, steps), seed, epoch)


def _compile_soon(function: Callable, *arguments: Any) -> jax.stages.Compiled:
    """Compiles what seldom runs: on a CPU with little optimisation.

    The random numbers of WRN-10-1's weights would take longer to compile than its
    training step. They are the same, bit for bit.
    """
    is_cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 1} if is_cpu else None
    return jax.jit(function).lower(*arguments).compile(compiler_options=options)


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
    check_batch(config, dataset)
    spec = Spec(
        network=make_network_spec(config.model, dataset),
        train_shape=dataset.train_inputs.shape,
        test_shape=dataset.test_inputs.shape,
        method=method,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        batch_size=config.batch_size,
        drop_last=config.drop_last,
        eval_batch_size=min(config.eval_batch_size, len(dataset.test_inputs)),
        steps_per_call=1,
        counted=jax.default_backend() == "cpu",
        from_host=_is_from_host(config, dataset),
        num_devices=devices.count(config.devices),
        observe=config.observe,
    )
    if method.signal == "examples" and spec.from_host:
        raise InputError(
            "--phase examples remembers the loss of each example by its place on the "
            "device: it needs --data-on device."
        )
    steps_per_call = config.steps_per_call or _steps_per_call(spec, dataset)
    return spec._replace(steps_per_call=min(steps_per_call, spec.full_steps))


def _is_from_host(config: Experiment, dataset: Dataset) -> bool:
    if config.data_on is not None:
        return config.data_on == "host"
    return feed.is_too_large(dataset, config.data.crop_padding)


def _steps_per_call(spec: Spec, dataset: Dataset) -> int:
    most = spec.full_steps
    if spec.from_host:
        train_bytes = feed.train_bytes(dataset, spec.crop_padding)
        most = min(most, spec.full_steps * CALL_BYTES // train_bytes)
    if spec.counted:
        return max(1, most)
    step_flops = training_flops(spec.network) * spec.batch_size
    most = max(1, min(most, CALL_FLOPS // max(1, step_flops)))
    # A divisor leaves no single steps over, which would be a program of their own.
    fitting = (n for n in range(most, most // 2, -1) if spec.full_steps % n == 0)
    return next(fitting, most)


def _abstract_arguments(
    spec: Spec, data: DeviceData, num_steps: int, batch_size: int
) -> tuple[Any, ...]:
    """What a call with room for `num_steps` takes besides the state."""

    def array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    def sent(examples: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(
            (num_steps, batch_size, *examples.shape[1:]),
            examples.dtype,
            sharding=feed.batch_sharding(spec.num_devices, batch_size),
        )

    if spec.from_host:
        data = data._replace(
            train_inputs=sent(data.train_inputs), train_targets=sent(data.train_targets)
        )
    plan = EpochPlan(
        order=array(jnp.int32, 0 if spec.from_host else spec.train_shape[0]),
        learning_rates=array(jnp.float32, spec.steps_per_epoch),
        noise=array(jnp.float32, spec.steps_per_epoch),
        key=_abstract_key(),
    )
    hyperparameters = jax.eval_shape(any_hyperparameters)
    numbers = [array(jnp.int32)] * (2 if spec.counted else 1)
    return data, plan, hyperparameters, *numbers
