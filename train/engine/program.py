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
from train.engine import devices, networks
from train.engine.device_data import DeviceData
from train.engine.losses import example_errors, example_losses
from train.engine.observers import Step, make_observer
from train.engine.optimizers import (
    Hyperparameters,
    any_hyperparameters,
    make_optimizer,
)
from train.engine.spec import Spec, is_counted
from train.engine.types import EpochPlan, StepMetrics, TestMetrics, TrainState
from train.engine.variables import merge, split

# XLA's default hands convolutions to YNNPACK; many of them were twice as fast without.
# Its sums over arrays, as in normalisation, are kept (docs/speed.md has the figures).
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


class Program(NamedTuple):
    """The functions of one `Spec`. Each is compiled when it is first called.

    `train.lower(...).compile()` and `test.lower(...).compile()` compile them before.

    Attributes:
      init: `init(seed) -> state`, fresh weights and optimizer state; uint32.
      draw: `draw(seed, epoch) -> (order, augmentation key, noise, key of the noise)`,
        an epoch's random numbers; uint32 and int32.
      train: `train(state, data, plan, hyperparameters, first, *, count, batch_size) ->
        (state, metrics)`. It takes `count` steps, of which `first` (int32) is the
        number of the first one in its epoch. `metrics` are [steps per epoch], and NaN
        but for these steps. `state` is given up: its memory is reused.
      test: `test(state, data, scores, *, first, count) -> scores`. The scores are sums
        over each batch of the test set, [batches]. Those of `count` batches from
        `first` on are replaced.
      observed: `observed(state) -> dict`, what was watched of the epoch so far; empty
        for nothing.
    """

    init: Callable[..., TrainState]
    draw: Callable[..., tuple[jax.Array, ...]]
    train: Any
    test: Any
    observed: Callable[[TrainState], dict[str, jax.Array]]


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
            partial(_train, spec),
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
    optimizer = make_optimizer(spec.method, any_hyperparameters(), jnp.float32(0))
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


def make_train(spec: Spec, *, count: int) -> Callable[..., Any]:
    """Returns `train(state, data, plan, hyperparameters, first)`, not compiled.

    It takes `count` steps with full batches; else as in `Program`. For benchmarks.
    """
    return partial(_train, spec, count=count, batch_size=spec.batch_size)


def _train(
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
    """Takes some steps; see `Program`."""
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
    start = index * spec.batch_size
    chosen = share(jax.lax.dynamic_slice(plan.order, (start,), (batch_size,)))
    targets = share(data.train_targets[chosen])
    if spec.is_images:
        inputs = augmentation.crop_and_flip(
            data.train_inputs,
            chosen,
            jax.random.fold_in(plan.key, index),
            padding=spec.crop_padding,
            flip=spec.flip,
        )
    else:
        inputs = data.train_inputs[chosen]
    learning_rate = plan.learning_rates[index]

    def loss_fn(
        params: nnx.State, inputs: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
        network = merge(graph, params, state.batch_stats)
        outputs = network(_normalize(spec, share(inputs), data), train=True)
        loss = jnp.mean(example_losses(outputs, targets))
        return loss, (outputs, split(network)[2])

    (loss, (outputs, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
        state.params, inputs, targets
    )

    def held_out_loss() -> jax.Array:
        return loss_fn(state.params, data.test_inputs[0], data.test_targets[0])[0]

    def fixed_loss() -> jax.Array:
        return loss_fn(state.params, data.fixed_inputs, data.fixed_targets)[0]

    match spec.method.signal:
        case "noise":
            value = plan.noise[index]
        case "fixed":
            value = fixed_loss()
        case "examples":
            value = loss - jnp.mean(state.memory[chosen])
        case _:
            value = loss
    optimizer = make_optimizer(spec.method, hyperparameters, learning_rate)
    updates, opt_state = optimizer.update(
        grads, state.opt_state, state.params, value=value
    )
    params = optax.apply_updates(state.params, updates)
    memory = state.memory
    if spec.method.signal == "examples":
        average = optax.tree.get(opt_state, "average_loss")
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
    metrics = StepMetrics(loss, error, *_diagnostics(opt_state))
    return TrainState(params, batch_stats, opt_state, observed, memory), metrics


def _test(
    spec: Spec,
    state: TrainState,
    data: DeviceData,
    scores: TestMetrics,
    *,
    first: jax.Array | int,
    count: jax.Array | int,
) -> TestMetrics:
    """Scores some batches of the test set; see `Program`."""
    graph, size = networks.graph_of(spec.network), spec.eval_batch_size

    def body(number: jax.Array, scores: TestMetrics) -> TestMetrics:
        network = merge(graph, state.params, state.batch_stats)
        inputs = devices.share(data.test_inputs[number], spec.num_devices)
        outputs = network(_normalize(spec, inputs, data), train=False)
        targets = data.test_targets[number]
        counts = number * size + jnp.arange(size) < spec.test_size  # the last is filled
        sums = [
            jnp.sum(jnp.where(counts, each(outputs, targets), 0))
            for each in (example_losses, example_errors)
        ]
        return TestMetrics(
            *(x.at[number].set(y) for x, y in zip(scores, sums, strict=True))
        )

    return jax.lax.fori_loop(first, first + count, body, scores)


def _normalize(spec: Spec, inputs: jax.Array, data: DeviceData) -> jax.Array:
    """Normalises images; tables come so, and text needs it not."""
    if not spec.is_images:
        return inputs
    return augmentation.normalize(inputs, data.mean, data.std)


def _diagnostics(opt_state: optax.OptState) -> list[jax.Array]:
    """Average loss, phase and momentum; NaN where the optimizer has no such thing."""

    def is_number(_: Any, leaf: Any) -> bool:
        # AdamW's momentum by phase: beside the number stands the schedule's state.
        return isinstance(leaf, jax.Array)

    found = [
        optax.tree.get(opt_state, name, np.nan, is_number)
        for name in StepMetrics._fields[2:]
    ]
    return [jnp.asarray(number, jnp.float32) for number in found]
