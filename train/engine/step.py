"""The training step and the test: pure functions of pytrees.

NNX modules are merged and split inside the step, and Optax is called directly, so one
step serves a Python loop, a scan and a vmap, and a call costs no Python per variable.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from train.data import augmentation
from train.engine import devices, networks
from train.engine.losses import example_errors, example_losses
from train.engine.observers import Step, make_observer
from train.engine.optimizers import (
    Hyperparameters,
    Method,
    any_hyperparameters,
    make_optimizer,
)
from train.engine.spec import Spec
from train.engine.types import (
    DeviceData,
    EpochPlan,
    StepMetrics,
    TestMetrics,
    TrainState,
)
from train.engine.variables import merge, split


def make_optimizer_init(method: Method) -> Callable[[nnx.State], optax.OptState]:
    """Returns `init(params) -> opt_state`."""
    return make_optimizer(method, any_hyperparameters(), jnp.float32(0)).init


def make_memory(spec: Spec) -> Any:
    """What is remembered of the examples before the first step."""
    remembers = spec.method.signal == "examples"
    return jnp.zeros(spec.train_shape[0]) if remembers else ()


def make_train(
    spec: Spec, *, num_steps: int, batch_size: int
) -> Callable[..., tuple[TrainState, StepMetrics]]:
    """Returns the function that takes training steps, at most `num_steps` of them.

    It is `train(state, data, plan, hyperparameters, first, count) -> (state, metrics)`.
    `first` (int32) is the number of the first step in its epoch, and `count` (int32) of
    the steps to take, `num_steps` if left out. `metrics` has a leading axis of
    `num_steps`, with NaN after the first `count`.
    """
    graph = networks.graph_of(spec.network)
    observer = make_observer(spec.observe, spec.method)
    share = partial(devices.share, num_devices=spec.num_devices)

    def step(
        state: TrainState,
        index: jax.Array,
        first: jax.Array,
        data: DeviceData,
        plan: EpochPlan,
        hyperparameters: Hyperparameters,
    ) -> tuple[TrainState, StepMetrics]:
        if spec.from_host:
            inputs = share(data.train_inputs[index - first])
            targets = data.train_targets[index - first]
            chosen = None
        else:
            start = index * spec.batch_size
            chosen = jax.lax.dynamic_slice(plan.order, (start,), (batch_size,))
            chosen = share(chosen)
            inputs = data.train_inputs
            targets = data.train_targets[chosen]
        if _is_images(spec):
            inputs = augmentation.crop_and_flip(
                inputs,
                chosen,
                jax.random.fold_in(plan.key, index),
                padding=spec.crop_padding,
                flip=spec.flip,
            )
        elif chosen is not None:
            inputs = inputs[chosen]
        inputs = _normalize(spec, share(inputs), data)
        targets = share(targets)

        def loss_fn(params: nnx.State) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
            network = merge(graph, params, state.batch_stats)
            outputs = network(inputs, train=True)
            loss = jnp.mean(example_losses(outputs, targets))
            return loss, (outputs, split(network)[2])

        (loss, (outputs, batch_stats)), grads = jax.value_and_grad(
            loss_fn, has_aux=True
        )(state.params)
        optimizer = make_optimizer(
            spec.method, hyperparameters, plan.learning_rates[index]
        )

        def loss_of(inputs: jax.Array, targets: jax.Array) -> jax.Array:
            """Of other examples, with the weights that the step starts from."""
            network = merge(graph, state.params, state.batch_stats)
            outputs = network(_normalize(spec, share(inputs), data), train=True)
            return jnp.mean(example_losses(outputs, targets))

        def held_out_loss() -> jax.Array:
            return loss_of(data.test_inputs[0], data.test_targets[0])

        def fixed_loss() -> jax.Array:
            return loss_of(data.fixed_inputs, data.fixed_targets)

        match spec.method.signal:
            case "noise":
                value = plan.noise[index]
            case "fixed":
                value = fixed_loss()
            case "examples":
                value = loss - jnp.mean(state.memory[chosen])
            case _:
                value = loss
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
        observed = observer.update(
            state.observed,
            Step(
                first=index == 0,
                learning_rate=plan.learning_rates[index],
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
        metrics = StepMetrics(
            loss, jnp.mean(example_errors(outputs, targets)), *_diagnostics(opt_state)
        )
        return TrainState(params, batch_stats, opt_state, observed, memory), metrics

    def train(state, data, plan, hyperparameters, first, count=None):
        def body(number, carried):
            state, metrics = carried
            state, new = step(state, first + number, first, data, plan, hyperparameters)
            return state, jax.tree.map(lambda x, y: x.at[number].set(y), metrics, new)

        nothing = jnp.full(num_steps, jnp.nan)
        metrics = StepMetrics(*[nothing] * len(StepMetrics._fields))
        # A number that the compiler knows lets a GPU loop without asking the host.
        end = num_steps if count is None else count
        return jax.lax.fori_loop(0, end, body, (state, metrics))

    return train


def make_test(spec: Spec) -> Callable[..., TestMetrics]:
    """Returns the function that scores batches of the test set.

    It is `test(state, data, scores, first, count) -> scores`. `scores` are sums over
    each batch of the test set, [batches]. Those of `count` batches (int32) from `first`
    (int32) on are replaced; all are, where these two are left out.
    """
    graph = networks.graph_of(spec.network)
    batches, size = spec.test_batches, spec.eval_batch_size

    def test(state, data, scores, first=0, count=None):
        def body(number: jax.Array, scores: TestMetrics) -> TestMetrics:
            network = merge(graph, state.params, state.batch_stats)
            inputs = devices.share(data.test_inputs[number], spec.num_devices)
            targets = data.test_targets[number]
            outputs = network(_normalize(spec, inputs, data), train=False)
            # The last batch is filled up.
            counts = number * size + jnp.arange(size) < spec.test_shape[0]
            sums = [
                jnp.sum(jnp.where(counts, each(outputs, targets), 0))
                for each in (example_losses, example_errors)
            ]
            return TestMetrics(
                *(x.at[number].set(y) for x, y in zip(scores, sums, strict=True))
            )

        # A number that the compiler knows, as in `train`.
        end = batches if count is None else first + count
        return jax.lax.fori_loop(first, end, body, scores)

    return test


def _is_images(spec: Spec) -> bool:
    return len(spec.train_shape) == 4


def _normalize(spec: Spec, inputs: jax.Array, data: DeviceData) -> jax.Array:
    """Normalises images; tables come so, and text needs it not."""
    if not _is_images(spec):
        return inputs
    return augmentation.normalize(inputs, data.mean, data.std)


def _diagnostics(opt_state: optax.OptState) -> list[jax.Array]:
    def number(name: str) -> jax.Array:
        # AdamW's momentum by phase: beside the number stands the schedule's state.
        found = optax.tree.get(
            opt_state, name, np.nan, lambda _, leaf: isinstance(leaf, jax.Array)
        )
        return jnp.asarray(found, jnp.float32)

    return [number(name) for name in StepMetrics._fields[2:]]
