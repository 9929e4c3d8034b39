import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models import WideResNet


def abstract(depth, widen, num_classes=10, **options):
    return nnx.eval_shape(
        lambda: WideResNet(depth, widen, num_classes, rngs=nnx.Rngs(0), **options)
    )


def parameters(network):
    return nnx.as_pure(nnx.state(network, nnx.Param))


@pytest.mark.parametrize(
    ("depth", "widen", "num_classes", "expected"),
    [  # the first two: the authors' network in PyTorch, counted there
        (28, 10, 10, 36_479_194),
        (28, 10, 100, 36_536_884),
        (16, 4, 10, 2_748_890),
        (16, 1, 10, 175_066),
        (10, 1, 10, 77_850),
    ],
)
def test_number_of_parameters_is_the_published_one(depth, widen, num_classes, expected):
    arrays = jax.tree.leaves(parameters(abstract(depth, widen, num_classes)))
    assert sum(math.prod(array.shape) for array in arrays) == expected


def test_wrn_28_10_has_80_parameter_arrays():
    assert len(jax.tree.leaves(parameters(abstract(28, 10)))) == 80


@pytest.mark.parametrize("depth", [0, 4, 9, 11, 12, 15, 27])
def test_depth_that_is_not_6n_plus_4_is_refused(depth):
    with pytest.raises(ValueError, match=rf"must be 6n \+ 4: 10, 16, .* got {depth}"):
        abstract(depth, 1)


def test_widening_below_one_is_refused():
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        abstract(10, 0)


@pytest.fixture(scope="module")
def network():
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})  # soon
    def make():
        return nnx.split(WideResNet(10, 4, 10, channels=3, rngs=nnx.Rngs(0)))

    return nnx.merge(*make())


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (5, 7), (1, 1)])
def test_any_image_size_gives_one_row_of_logits_an_image(network, size):
    logits = jax.eval_shape(
        lambda images: network(images, train=False), jnp.zeros((2, *size, 3))
    )
    assert (logits.shape, logits.dtype) == ((2, 10), jnp.float32)


def test_single_channel_images_are_taken():
    network = abstract(10, 1, channels=1)
    logits = nnx.eval_shape(
        lambda net: net(jnp.zeros((2, 8, 8, 1)), train=False), network
    )
    assert logits.shape == (2, 10)


def test_convolutions_start_kaiming_normal_over_fan_out(network):
    # 3x3 kernels onto 256 channels: standard deviation sqrt(2 / (9 * 256)).
    kernel = network.blocks[2].conv2.kernel[...]
    assert kernel.shape == (3, 3, 256, 256)
    expected = (2 / (9 * 256)) ** 0.5
    np.testing.assert_allclose(jnp.std(kernel), expected, rtol=0.01)  # 600,000 draws
    # A truncated normal would end at two deviations.
    assert jnp.max(jnp.abs(kernel)) > 4 * expected


def test_classifier_starts_uniform_with_zero_bias(network):
    # 256 inputs: torch's default is uniform in +-1/sqrt(256).
    kernel = network.classifier.kernel[...]
    assert 0.97 / 16 < jnp.max(jnp.abs(kernel)) <= 1 / 16
    np.testing.assert_array_equal(network.classifier.bias[...], 0)


def test_running_statistics_take_a_tenth_of_each_batch(network):
    graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    trained = nnx.merge(graph, params, stats, copy=True)
    images = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype(np.float32)
    nnx.jit(lambda net: net(images, train=True))(trained)
    # The first normalisation sees the stem's output.
    expected = 0.1 * jnp.mean(network.stem(images), axis=(0, 1, 2))
    np.testing.assert_allclose(trained.blocks[0].norm1.mean[...], expected, rtol=1e-4)


def test_testing_leaves_the_running_statistics_alone(network):
    before = jax.tree.map(jnp.copy, nnx.state(network, nnx.BatchStat))
    nnx.jit(lambda net: net(jnp.ones((2, 8, 8, 3)), train=False))(network)
    jax.tree.map(
        np.testing.assert_array_equal, before, nnx.state(network, nnx.BatchStat)
    )


def test_bfloat16_computes_beside_float32_parameters_and_statistics():
    network = abstract(10, 1, dtype=jnp.bfloat16)
    for array in jax.tree.leaves(nnx.as_pure(nnx.state(network))):
        assert array.dtype == jnp.float32
    stem = nnx.eval_shape(lambda net: net.stem(jnp.zeros((1, 8, 8, 3))), network)
    logits = nnx.eval_shape(
        lambda net: net(jnp.zeros((1, 8, 8, 3)), train=False), network
    )
    assert (stem.dtype, logits.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize(("layer", "weights"), [("conv1", "kernel"), ("norm1", "bias")])
def test_gradients_of_weights_are_not_rounded_to_bfloat16(layer, weights):
    network = WideResNet(10, 1, 10, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    images = jnp.ones((7, 11, 13, 16), jnp.bfloat16)  # 1,001 pixels; bfloat16 has 1,000
    options = {"use_running_average": False} if layer == "norm1" else {}

    def total(layer):
        return jnp.sum(layer(images, **options).astype(jnp.float32))

    grads = nnx.grad(total)(getattr(network.blocks[0], layer))[weights][...]
    middle = grads[1, 1] if layer == "conv1" else grads  # its window is on all pixels
    np.testing.assert_array_equal(middle, np.full_like(middle, 1001))
