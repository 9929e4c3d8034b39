"""The compiled training step against the same step written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models import WideResNet
from train.engine import optimizers, program, step
from train.engine.networks import NetworkSpec
from train.engine.spec import Spec
from train.engine.types import DeviceData, EpochPlan, TestMetrics, TrainState
from train.settings.optimizer import Optimizer
from train.settings.options import Model

NETWORK = NetworkSpec(Model("wide_resnet"), (5, 5, 1), 3)
CONFIG = Optimizer("sgd", momentum=0.9, learning_rate=0.05, weight_decay=0.01)
SPEC = Spec(
    network=NETWORK,
    train_shape=(8, 5, 5, 1),
    test_shape=(5, 5, 5, 1),
    method=optimizers.method_of(CONFIG),
    crop_padding=0,
    flip=False,
    batch_size=4,
    drop_last=True,
    eval_batch_size=4,
    steps_per_call=1,
)


@pytest.fixture(scope="module")
def state():
    params, batch_stats = program.network_init(NETWORK)(jax.random.key(0))
    opt_state = jax.jit(step.make_optimizer_init(SPEC.method))(params)
    return TrainState(params, batch_stats, opt_state)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    test_inputs = rng.integers(0, 256, (8, 5, 5, 1)).astype(np.uint8)
    test_inputs[5:] = 0
    return jax.device_put(
        DeviceData(
            train_inputs=rng.integers(0, 256, (8, 5, 5, 1)).astype(np.uint8),
            train_targets=rng.integers(0, 3, 8).astype(np.int32),
            test_inputs=test_inputs.reshape(2, 4, 5, 5, 1),
            test_targets=np.array([[0, 1, 2, 0], [1, 0, 0, 0]], np.int32),
            mean=np.float32([0.4]),
            std=np.float32([0.3]),
        )
    )


def network_of(state):
    graph = nnx.split(
        nnx.eval_shape(
            lambda: WideResNet(10, 1, 3, channels=1, rngs=nnx.Rngs(0))
        ), nnx.Param, nnx.BatchStat,
    )[0]  # fmt: skip
    return nnx.merge(graph, state.params, state.batch_stats, copy=True)


def pixels(images, data):
    return (images.astype(np.float32) / 255 - 0.4) / 0.3


def test_steps_equal_a_loop_of_nnx_and_optax_sgd(state, data):
    order = np.array([6, 1, 3, 0, 2, 7, 5, 4], np.int32)
    plan = EpochPlan(
        order=jnp.asarray(order),
        learning_rates=jnp.array([0.05, 0.02], jnp.float32),
        noise=jnp.zeros(2),
        key=jax.random.key(1),
    )
    hyperparameters = optimizers.hyperparameters_of(CONFIG, steps_per_epoch=2)
    train = jax.jit(step.make_train(SPEC, num_steps=1, batch_size=4))
    actual, losses = state, []
    for index in range(2):
        actual, metrics = train(actual, data, plan, hyperparameters, np.int32(index))
        losses.append(metrics.loss.item())

    # The same with NNX's own optimizer; torch's SGD order: decay, momentum, rate.
    network = network_of(state)
    transformation = optax.chain(
        optax.add_decayed_weights(0.01),
        optax.sgd(lambda count: jnp.array([0.05, 0.02])[count], momentum=0.9),
    )
    optimizer = nnx.Optimizer(network, transformation, wrt=nnx.Param)

    def loss_fn(network, images, labels):
        probabilities = jax.nn.softmax(network(images, train=True))
        return -jnp.mean(jnp.log(probabilities[jnp.arange(4), labels]))

    @nnx.jit
    def loop_step(network, optimizer, images, labels):
        loss, grads = nnx.value_and_grad(loss_fn)(network, images, labels)
        optimizer.update(network, grads)
        return loss

    for index in range(2):
        chosen = order[4 * index : 4 * index + 4]
        images = pixels(data.train_inputs[chosen], data)
        labels = data.train_targets[chosen]
        loss = loop_step(network, optimizer, images, labels)
        assert losses[index] == pytest.approx(loss.item(), rel=1e-4)

    for ours, theirs in (
        (actual.params, nnx.state(network, nnx.Param)),
        (actual.batch_stats, nnx.state(network, nnx.BatchStat)),
    ):
        jax.tree.map(
            # Two float32 programs, two steps apart.
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
            ours,
            nnx.as_pure(theirs),
        )


@pytest.fixture(scope="module")
def counted():
    """Takes at most 12 steps on 24 images: a network with convolutions, augmentation.

    It is `take(*numbers)`, which takes that many steps in each call, and returns the
    bytes of the losses and of all that is carried.
    """
    spec = SPEC._replace(
        train_shape=(24, 7, 7, 1), batch_size=2, crop_padding=1, flip=True, counted=True
    )
    rng = np.random.default_rng(0)
    data = DeviceData(
        train_inputs=rng.integers(0, 256, (24, 7, 7, 1)).astype(np.uint8),
        train_targets=rng.integers(0, 3, 24).astype(np.int32),
        test_inputs=np.zeros((1, 1, 5, 5, 1), np.uint8),
        test_targets=np.zeros((1, 1), np.int32),
        mean=np.float32([0.4]),
        std=np.float32([0.3]),
    )
    plan = EpochPlan(
        order=rng.permutation(24).astype(np.int32),
        learning_rates=np.linspace(0.1, 0.01, 12, dtype=np.float32),
        noise=np.zeros(12, np.float32),
        key=jax.random.key(1),
    )
    hyperparameters = optimizers.hyperparameters_of(CONFIG, steps_per_epoch=12)
    train = jax.jit(step.make_train(spec, num_steps=12, batch_size=2))

    def take(state, *numbers):
        first, losses = 0, []
        for count in numbers:
            state, metrics = train(
                state, data, plan, hyperparameters, np.int32(first), np.int32(count)
            )
            losses.append(metrics.loss)
            first += count
        taken = [loss[:n] for loss, n in zip(losses, numbers, strict=True)]
        carried = [np.asarray(x).tobytes() for x in jax.tree.leaves(state)]
        return np.concatenate(taken), carried, losses

    return take


@pytest.mark.parametrize("numbers", [(5, 5, 2), (1, 4, 7), (1,) * 12], ids=str)
def test_steps_are_the_same_bit_for_bit_in_calls_of_any_length(state, counted, numbers):
    losses, carried, _ = counted(state, *numbers)
    expected, at_once, _ = counted(state, 12)
    assert len(set(expected.tolist())) == 12
    np.testing.assert_array_equal(losses, expected)
    assert carried == at_once


def test_steps_that_a_call_does_not_take_have_no_metrics(state, counted):
    _, _, [losses] = counted(state, 5)
    assert np.isfinite(losses).tolist() == [True] * 5 + [False] * 7


def test_test_counts_every_image_once_and_no_filling(state, data):
    nothing = TestMetrics(jnp.zeros(2), jnp.zeros(2))
    actual = jax.jit(step.make_test(SPEC))(state, data, nothing)
    images = pixels(data.test_inputs.reshape(8, 5, 5, 1)[:5], data)
    labels = np.array([0, 1, 2, 0, 1])
    logits = nnx.jit(lambda net: net(images, train=False))(network_of(state))
    probabilities = jax.nn.softmax(logits)[np.arange(5), labels]
    wrong, losses = np.argmax(logits, axis=1) != labels, -np.log(probabilities)
    for scores, each in ((actual.error, wrong), (actual.loss, losses)):
        by_batch = [np.sum(each[:4]), np.sum(each[4:])]
        np.testing.assert_allclose(scores, by_batch, rtol=1e-5)
