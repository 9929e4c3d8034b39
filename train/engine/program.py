"""What is compiled: weights, an epoch's randomness, training steps, the test.

Pure functions of trees of arrays. Every number of an experiment enters them as data, so
that all arms and seeds of one `Spec` share a compilation. NNX modules are merged and
split inside the step, and Optax is called directly: one step serves a loop and a vmap.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from train.data import augmentation
from train.data.dataset import Dataset, check_batch
from train.engine import devices, networks
from train.engine.device_data import DeviceData
from train.engine.networks import NetworkSpec, make_network_spec
from train.engine.observers import Step, make_observer
from train.engine.optimizers import (
    Hyperparameters,
    Method,
    any_hyperparameters,
    make_optimizer,
    seen_in,
    tested_weights,
)
from train.engine.variables import merge, split
from train.settings.experiment import Experiment

# XLA's default hands convolutions to YNNPACK; many of them were twice as fast without.
# Its sums over arrays, as in normalisation, are kept (docs/speed.md has the figures).
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


class Spec(NamedTuple):
    """All that is fixed when a program is compiled. Hashable."""

    network: NetworkSpec
    method: Method
    train_size: int
    test_size: int
    batch_size: int
    eval_batch_size: int
    drop_last: bool = True  # leave out the examples that do not fill a batch
    crop_padding: int = 0  # pixels
    flip: bool = False
    observe: str = "nothing"  # see `train.engine.observers`
    num_devices: int = 1  # among which each batch is split

    @property
    def full_steps(self) -> int:
        """Steps an epoch with a full batch."""
        return self.train_size // self.batch_size

    @property
    def last_batch_size(self) -> int:
        """Examples in an epoch's smaller last step; 0 if there is none."""
        return 0 if self.drop_last else self.train_size % self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch, the smaller last one included."""
        return self.full_steps + (self.last_batch_size > 0)

    @property
    def test_batches(self) -> int:
        """Batches of the test set, the last one filled up."""
        return -(-self.test_size // self.eval_batch_size)

    @property
    def is_images(self) -> bool:
        """Whether the inputs are images."""
        return len(self.network.input_shape) == 3


class TrainState(NamedTuple):
    """What training carries from step to step."""

    params: nnx.State  # float32
    # Running statistics; of a network of one's own any variable that is no weight.
    batch_stats: nnx.State
    opt_state: optax.OptState
    observed: Any = ()
    # Float32 [train size] where `Method.signal` is "examples": the loss of each example
    # when it was last seen, less the average of that step; 0 before.
    memory: Any = ()


class EpochPlan(NamedTuple):
    """What an epoch's steps draw on."""

    order: jax.Array  # int32 [train size], of the training examples
    learning_rates: jax.Array  # float32 [steps per epoch]
    noise: jax.Array  # float32 [steps per epoch], in [0, 1): the phase by chance
    key: jax.Array  # of the augmentation


class StepMetrics(NamedTuple):
    """What a step reports, float32; NaN where the optimizer has no such thing."""

    loss: jax.Array  # mean of the batch: see `example_losses`
    error: jax.Array  # mean of the batch: see `example_errors`
    average_loss: jax.Array  # what the loss was compared with
    phase: jax.Array  # the `lcam_optax.Phase` the comparison gave
    momentum: jax.Array  # the coefficient of this step


class TestMetrics(NamedTuple):
    """Scores on the test set, float32 [batches], sums over the examples of each."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    loss: jax.Array
    error: jax.Array


class Program(NamedTuple):
    """The functions of one `Spec`. Each is compiled when it is first called.

    `train.lower(...).compile()` and `test.lower(...).compile()` compile them before.
    """

    # init(seed: uint32) -> state
    init: Callable[..., TrainState]
    # draw(seed: uint32, epoch: int32) -> (order, augmentation key, noise, its key)
    draw: Callable[..., tuple[jax.Array, ...]]
    # train(state, data, plan, hyperparameters, first, *, count, batch_size) -> (state,
    # metrics). It takes `count` steps, the first of which is the `first`-th (int32) of
    # its epoch. Metrics are [steps per epoch], NaN but for these steps. The state is
    # given up: its memory is reused.
    train: Any
    # test(state, data, scores, *, first, count) -> scores, where those of `count`
    # batches from `first` on are new
    test: Any
    # observed(state) -> what was watched of the epoch so far
    observed: Callable[[TrainState], dict[str, jax.Array]]


def make_spec(config: Experiment, method: Method, dataset: Dataset) -> Spec:
    """Gathers what a program is compiled for; refuses what does not fit the data."""
    check_batch(config, dataset)
    return Spec(
        network=make_network_spec(config.model, dataset),
        method=method,
        train_size=len(dataset.train_inputs),
        test_size=len(dataset.test_inputs),
        batch_size=config.batch_size,
        eval_batch_size=min(config.eval_batch_size, len(dataset.test_inputs)),
        drop_last=config.drop_last,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        observe=config.observe,
        num_devices=devices.count(config.devices),
    )


def is_counted() -> bool:
    """Whether the number of steps in a call is an argument of the compiled loop.

    It is on a CPU. A GPU would ask the host at each step whether to go on, so that
    there the compiler is told the number: each is a program of its own.
    """
    return jax.default_backend() == "cpu"


@functools.cache
def compile_program(spec: Spec) -> Program:
    """The program of a spec, which all arms and seeds share."""
    jit = partial(jax.jit, out_shardings=devices.everywhere(spec.num_devices))
    # What seldom runs: the random numbers of WRN-10-1's weights would take longer to
    # compile than its training step. They are the same, bit for bit.
    soon = {"xla_backend_optimization_level": 1} if is_counted() else None
    options = compiler_options()
    # What a CPU takes as an argument, an accelerator's compiler is told.
    counts = () if is_counted() else ("first", "count")
    observer = make_observer(spec.observe, spec.method)
    return Program(
        init=jit(partial(_init, spec), compiler_options=soon),
        draw=jit(partial(_draw, spec), compiler_options=soon),
        train=jit(
            partial(train_steps, spec),
            donate_argnums=0,
            static_argnames=("batch_size", *counts[1:]),
            compiler_options=options,
        ),
        test=jit(
            partial(_test, spec), static_argnames=counts, compiler_options=options
        ),
        observed=jit(lambda state: observer.summarize(state.observed)),
    )


@functools.cache
def compiler_options() -> dict[str, Any] | None:
    """What the compiler is told besides, on this kind of device."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:  # an experimental option: it may go
        return None
    return CPU_OPTIONS


def no_scores(spec: Spec) -> TestMetrics:
    """The scores before any batch is scored."""
    return TestMetrics(*np.zeros((2, spec.test_batches), np.float32))


def _init(spec: Spec, seed: jax.Array) -> TrainState:
    """Fresh weights; one seed has a key of its own for them."""
    key = jax.random.split(jax.random.key(seed), 4)[0]
    _, params, batch_stats = split(networks.make_network(spec.network, key))
    return make_state(spec, params, batch_stats)


def make_state(spec: Spec, params: nnx.State, batch_stats: nnx.State) -> TrainState:
    """The state before the first step of a network with these weights."""
    numbers = any_hyperparameters(spec.method)
    optimizer = make_optimizer(spec.method, numbers, jnp.float32(0))
    observer = make_observer(spec.observe, spec.method)
    remembers = spec.method.signal == "examples"
    return TrainState(
        params,
        batch_stats,
        optimizer.init(params),
        observer.init(params),
        jnp.zeros(spec.train_size) if remembers else (),
    )


def _draw(spec: Spec, seed: jax.Array, epoch: jax.Array) -> tuple[jax.Array, ...]:
    """An epoch's randomness depends on its number alone: a resumed run repeats it."""
    _, *keys = jax.random.split(jax.random.key(seed), 4)
    order, augmentation_key, noise = (jax.random.fold_in(key, epoch) for key in keys)
    return (
        jax.random.permutation(order, spec.train_size).astype(jnp.int32),
        augmentation_key,
        jax.random.uniform(noise, (spec.steps_per_epoch,)),
        noise,
    )


def train_steps(
    spec: Spec,
    state: TrainState,
    data: DeviceData,
    plan: EpochPlan,
    hyperparameters: Hyperparameters,
    first: jax.Array,
    *,
    count: jax.Array | int,
    batch_size: int,
) -> tuple[TrainState, StepMetrics]:
    """Takes some steps; see `Program`. Not compiled, as benchmarks need it."""
    step = partial(_step, spec, data, plan, hyperparameters, batch_size)

    def body(number: jax.Array, carried: Any) -> Any:
        state, metrics = carried
        state, new = step(state, first + number)
        place = first + number
        return state, jax.tree.map(lambda x, y: x.at[place].set(y), metrics, new)

    nothing = jnp.full(spec.steps_per_epoch, jnp.nan)
    metrics = StepMetrics(*[nothing] * len(StepMetrics._fields))
    return jax.lax.fori_loop(0, count, body, (state, metrics))


def _step(
    spec: Spec,
    data: DeviceData,
    plan: EpochPlan,
    hyperparameters: Hyperparameters,
    batch_size: int,
    state: TrainState,
    index: jax.Array,
) -> tuple[TrainState, StepMetrics]:
    """One training step, the `index`-th of its epoch."""
    graph = networks.graph_of(spec.network)
    share = partial(devices.share, num_devices=spec.num_devices)
    place = (index * spec.batch_size,)
    chosen = share(jax.lax.dynamic_slice(plan.order, place, (batch_size,)))
    targets = share(data.train_targets[chosen])
    if spec.is_images:
        inputs = augmentation.crop_and_flip(
            data.train_inputs,
            chosen,
            jax.random.fold_in(plan.key, index),
            size=spec.network.input_shape,
            padding=spec.crop_padding,
            flip=spec.flip,
        )
    else:
        inputs = data.train_inputs[chosen]
    learning_rate = plan.learning_rates[index]

    def loss_fn(params: nnx.State, inputs: jax.Array, targets: jax.Array) -> Any:
        network = merge(graph, params, state.batch_stats)
        outputs = network(_normalize(spec, share(inputs), data), train=True)
        loss = jnp.mean(example_losses(outputs, targets))
        return loss, (outputs, split(network)[2])

    with_grads = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, (outputs, batch_stats)), grads = with_grads(state.params, inputs, targets)

    def held_out_loss() -> jax.Array:
        return loss_fn(state.params, data.test_inputs[0], data.test_targets[0])[0]

    def fixed_loss() -> jax.Array:
        return loss_fn(state.params, data.fixed_inputs, data.fixed_targets)[0]

    value = {
        "loss": lambda: loss,
        "fixed": fixed_loss,
        "examples": lambda: loss - jnp.mean(state.memory[chosen]),
        "noise": lambda: plan.noise[index],
    }[spec.method.signal]()
    optimizer = make_optimizer(spec.method, hyperparameters, learning_rate)
    with jax.named_scope("optimizer"):
        updates, opt_state = optimizer.update(
            grads, state.opt_state, state.params, value=value
        )
        params = optax.apply_updates(state.params, updates)
    memory = state.memory
    if spec.method.signal == "examples":
        average = seen_in(spec.method, opt_state)["average_loss"]
        above = example_losses(outputs, targets) - average
        # What is not finite would be remembered for ever.
        above = jnp.where(jnp.isfinite(above), above, memory[chosen])
        memory = memory.at[chosen].set(above)
    observed = make_observer(spec.observe, spec.method).update(
        state.observed,
        Step(
            first=index == 0,
            learning_rate=learning_rate,
            loss=loss,
            held_out_loss=held_out_loss,
            fixed_loss=fixed_loss,
            grads=grads,
            updates=updates,
            old_state=state.opt_state,
            new_state=opt_state,
            hyperparameters=hyperparameters,
        ),
    )
    error = jnp.mean(example_errors(outputs, targets))
    seen = seen_in(spec.method, opt_state)
    seen = [seen.get(name, np.nan) for name in StepMetrics._fields[2:]]
    metrics = StepMetrics(loss, error, *(jnp.asarray(x, jnp.float32) for x in seen))
    return TrainState(params, batch_stats, opt_state, observed, memory), metrics


def _test(
    spec: Spec,
    state: TrainState,
    data: DeviceData,
    scores: TestMetrics,
    *,
    first: Any,
    count: Any,
) -> TestMetrics:
    """Scores some batches of the test set; see `Program`."""
    graph, size = networks.graph_of(spec.network), spec.eval_batch_size
    params = tested_weights(state.opt_state, state.params)

    def body(number: jax.Array, scores: TestMetrics) -> TestMetrics:
        network = merge(graph, params, state.batch_stats)
        inputs = devices.share(data.test_inputs[number], spec.num_devices)
        outputs = network(_normalize(spec, inputs, data), train=False)
        targets = data.test_targets[number]
        counts = number * size + jnp.arange(size) < spec.test_size  # the last is filled

        def put(column: jax.Array, each: jax.Array) -> jax.Array:
            return column.at[number].set(jnp.sum(jnp.where(counts, each, 0)))

        return TestMetrics(
            put(scores.loss, example_losses(outputs, targets)),
            put(scores.error, example_errors(outputs, targets)),
        )

    return jax.lax.fori_loop(first, first + count, body, scores)


def example_losses(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Loss of each example: cross-entropy in nats, or half of the squared error."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        return optax.losses.l2_loss(outputs[:, 0], targets)
    return _mean_of_each(
        optax.losses.softmax_cross_entropy_with_integer_labels(outputs, targets)
    )


def example_errors(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Error of each example: the share of wrong classes, or the squared error."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        return jnp.square(outputs[:, 0] - targets)
    return _mean_of_each((jnp.argmax(outputs, axis=-1) != targets).astype(jnp.float32))


def _mean_of_each(numbers: jax.Array) -> jax.Array:
    """Mean over all axes but the first: text has a number for each token."""
    return jnp.mean(numbers, axis=tuple(range(1, numbers.ndim)))


def _normalize(spec: Spec, inputs: jax.Array, data: DeviceData) -> jax.Array:
    """Normalises images; tables come so, and text needs it not."""
    if not spec.is_images:
        return inputs
    return augmentation.normalize(inputs, data.mean, data.std)
