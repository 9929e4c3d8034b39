"""The training step and the test: pure functions of pytrees.

NNX modules are merged and split inside the step, and Optax is called directly, so one
step serves a Python loop, a scan and a vmap, and a call costs no Python per variable.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from train.data import augmentation
from train.engine import devices
from train.engine.networks import NetworkSpec, make_network
from train.engine.observers import Step, make_observer
from train.engine.optimizers import (
    Hyperparameters,
    Method,
    any_hyperparameters,
    make_optimizer,
)
from train.engine.spec import Spec


class TrainState(NamedTuple):
    """What training carries from step to step.

    Attributes:
      params: float32 weights.
      batch_stats: float32 running statistics of the normalisations.
      opt_state: the optimizer's.
      observed: the observer's.
    """

    params: nnx.State
    batch_stats: nnx.State
    opt_state: optax.OptState
    observed: Any = ()


class DeviceData(NamedTuple):
    """A data set on the device, or the part of it that some steps need.

    Attributes:
      train_inputs: as in `Dataset`; images are padded for the crop. If the host sends
        them those of a call: [steps, batch, ...].
      train_targets: as in `Dataset`; or [steps, batch, ...], the same.
      test_inputs: [batches, batch, ...], the last batch filled with zeros.
      test_targets: [batches, batch, ...], the same.
      mean: float32 [channels], of pixels in [0, 1]; [1] where there are no images.
      std: float32 [channels]; the same.
    """

    train_inputs: jax.Array
    train_targets: jax.Array
    test_inputs: jax.Array
    test_targets: jax.Array
    mean: jax.Array
    std: jax.Array


class EpochPlan(NamedTuple):
    """What an epoch's steps draw on.

    Attributes:
      order: int32 [n], which of the training examples come one after another; empty
        if the host sends them so.
      learning_rates: float32 [steps per epoch].
      noise: float32 [steps per epoch], in [0, 1): decides the phase where chance does.
      key: of the augmentation.
    """

    order: jax.Array
    learning_rates: jax.Array
    noise: jax.Array
    key: jax.Array


class StepMetrics(NamedTuple):
    """What a step reports; NaN where the optimizer has no such thing.

    Attributes:
      loss: float32, mean of the batch: cross-entropy in nats, for numbers half of the
        squared error.
      error: float32, mean of the batch: the misclassified share; for numbers the
        squared error.
      average_loss: float32, what the loss was compared with.
      phase: float32, the `lcam_optax.Phase` the comparison gave.
      momentum: float32, the coefficient of this step.
    """

    loss: jax.Array
    error: jax.Array
    average_loss: jax.Array
    phase: jax.Array
    momentum: jax.Array


class TestMetrics(NamedTuple):
    """Score on the whole test set.

    Attributes:
      loss: float32, mean over the examples, as in `StepMetrics`.
      error: float32, sum over the examples.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    loss: jax.Array
    error: jax.Array


def make_network_init(
    spec: NetworkSpec,
) -> Callable[[jax.Array], tuple[nnx.State, nnx.State]]:
    """Returns `init(key) -> (params, batch_stats)`."""

    def init(key: jax.Array) -> tuple[nnx.State, nnx.State]:
        _, params, batch_stats = _split(make_network(spec, key))
        return params, batch_stats

    return init


def make_optimizer_init(method: Method) -> Callable[[nnx.State], optax.OptState]:
    """Returns `init(params) -> opt_state`."""
    return make_optimizer(method, any_hyperparameters(), jnp.float32(0)).init


def make_train(
    spec: Spec, *, num_steps: int, batch_size: int
) -> Callable[..., tuple[TrainState, StepMetrics]]:
    """Returns the function that takes `num_steps` training steps.

    It is `train(state, data, plan, hyperparameters, first) -> (state, metrics)`, where
    `first` (int32) is the number of the first step in its epoch and `metrics` has a
    leading axis of `num_steps`.
    """
    graph = _graph(spec.network)
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
            # Copied: NNX refuses to change variables made outside the gradient's trace.
            network = nnx.merge(graph, params, state.batch_stats, copy=True)
            outputs = network(inputs, train=True)
            loss = jnp.mean(_losses(outputs, targets))
            return loss, (outputs, _split(network)[2])

        (loss, (outputs, batch_stats)), grads = jax.value_and_grad(
            loss_fn, has_aux=True
        )(state.params)
        optimizer = make_optimizer(
            spec.method, hyperparameters, plan.learning_rates[index]
        )
        value = plan.noise[index] if spec.method.chance else loss
        updates, opt_state = optimizer.update(
            grads, state.opt_state, state.params, value=value
        )
        params = optax.apply_updates(state.params, updates)

        def held_out_loss() -> jax.Array:
            network = nnx.merge(graph, state.params, state.batch_stats, copy=True)
            inputs = _normalize(spec, share(data.test_inputs[0]), data)
            outputs = network(inputs, train=True)
            return jnp.mean(_losses(outputs, data.test_targets[0]))

        observed = observer.update(
            state.observed,
            Step(
                first=index == 0,
                learning_rate=plan.learning_rates[index],
                loss=loss,
                held_out_loss=held_out_loss,
                grads=grads,
                updates=updates,
                old_state=state.opt_state,
                new_state=opt_state,
                hyperparameters=hyperparameters,
            ),
        )
        metrics = StepMetrics(
            loss, jnp.mean(_errors(outputs, targets)), *_diagnostics(opt_state)
        )
        return TrainState(params, batch_stats, opt_state, observed), metrics

    def train(state, data, plan, hyperparameters, first):
        def body(state, index):
            return step(state, index, first, data, plan, hyperparameters)

        if num_steps > 1:
            return jax.lax.scan(body, state, first + jnp.arange(num_steps))
        state, metrics = body(state, first)
        return state, jax.tree.map(lambda metric: metric[jnp.newaxis], metrics)

    return train


def make_test(spec: Spec) -> Callable[[TrainState, DeviceData], TestMetrics]:
    """Returns `test(state, data) -> TestMetrics`, on the whole test set."""
    graph = _graph(spec.network)

    def test(state: TrainState, data: DeviceData) -> TestMetrics:
        network = nnx.merge(graph, state.params, state.batch_stats)

        def score(batch: tuple[jax.Array, jax.Array, jax.Array]) -> TestMetrics:
            inputs, targets, counts = batch
            inputs = devices.share(inputs, spec.num_devices)
            outputs = network(_normalize(spec, inputs, data), train=False)
            return TestMetrics(
                jnp.sum(jnp.where(counts, _losses(outputs, targets), 0)),
                jnp.sum(jnp.where(counts, _errors(outputs, targets), 0)),
            )

        size, batches = spec.test_shape[0], data.test_inputs.shape[:2]
        counts = jnp.arange(batches[0] * batches[1]).reshape(batches) < size
        sums = jax.lax.map(score, (data.test_inputs, data.test_targets, counts))
        return TestMetrics(jnp.sum(sums.loss) / size, jnp.sum(sums.error))

    return test


def num_parameters(spec: NetworkSpec) -> int:
    """The number of trained weights, counted without making them."""
    params, _ = jax.eval_shape(make_network_init(spec), jax.random.key(0))
    return sum(math.prod(array.shape) for array in jax.tree.leaves(params))


def array_names(spec: NetworkSpec) -> list[str]:
    """Names of the arrays of trained weights, in the order of the tree's leaves."""
    params, _ = jax.eval_shape(make_network_init(spec), jax.random.key(0))
    paths = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(params))
    return ["/".join(str(key.key) for key in path) for path, _ in paths]


def _graph(spec: NetworkSpec) -> nnx.GraphDef:
    return _split(nnx.eval_shape(lambda: make_network(spec, jax.random.key(0))))[0]


def _split(network: nnx.Module) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    graph, params, batch_stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    return graph, nnx.as_pure(params), nnx.as_pure(batch_stats)


def _is_images(spec: Spec) -> bool:
    return len(spec.train_shape) == 4


def _normalize(spec: Spec, inputs: jax.Array, data: DeviceData) -> jax.Array:
    """Normalises images; tables come so, and text needs it not."""
    if not _is_images(spec):
        return inputs
    return augmentation.normalize(inputs, data.mean, data.std)


def _losses(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Loss of each example, [batch]: cross-entropy, or half of the squared error."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        return optax.losses.l2_loss(outputs[:, 0], targets)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(outputs, targets)
    return _mean_of_each(losses)


def _errors(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Error of each example, [batch]: the share of wrong classes, or the square."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        return jnp.square(outputs[:, 0] - targets)
    return _mean_of_each((jnp.argmax(outputs, axis=-1) != targets).astype(jnp.float32))


def _mean_of_each(numbers: jax.Array) -> jax.Array:
    """Mean over all axes but the first."""
    return jnp.mean(numbers, axis=tuple(range(1, numbers.ndim)))


def _diagnostics(opt_state: optax.OptState) -> list[jax.Array]:
    return [
        jnp.asarray(optax.tree.get(opt_state, name, np.nan), jnp.float32)
        for name in StepMetrics._fields[2:]
    ]
