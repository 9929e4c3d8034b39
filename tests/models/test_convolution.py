"""The convolution against autodiff's gradients of JAX's own."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.convolution import convolve, convolve_for_flax, speed_up

LAYOUT = ("NHWC", "HWIO", "NHWC")


def reference(images, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=LAYOUT
    )


@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.torture)]
)
@pytest.mark.parametrize(
    ("height", "width", "size", "stride", "padding"),
    [
        (8, 8, 3, 1, ((1, 1), (1, 1))),
        (8, 8, 3, 2, ((1, 1), (1, 1))),
        (7, 7, 3, 2, ((1, 1), (1, 1))),
        (8, 8, 1, 2, ((0, 0), (0, 0))),
        (7, 5, 1, 2, ((0, 0), (0, 0))),
        (4, 6, 3, 1, ((1, 0), (0, 2))),
        (9, 8, 4, 3, ((2, 1), (1, 0))),
    ],
)
def test_values_and_gradients_are_those_of_jax(
    height, width, size, stride, padding, dtype
):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(5, height, width, 3)), dtype)
    kernel = jnp.asarray(rng.normal(size=(size, size, 3, 4)), dtype)
    shape = reference(images, kernel, stride, padding).shape
    weights = jnp.asarray(rng.normal(size=shape), dtype)

    def run(convolve):
        def weighted(images, kernel):
            outputs = convolve(images, kernel, stride, padding)
            return jnp.sum(weights * outputs), outputs

        differentiated = jax.grad(weighted, argnums=(0, 1), has_aux=True)
        grads, outputs = jax.jit(differentiated)(images, kernel)
        return [outputs, *grads]

    for ours, theirs in zip(run(convolve), run(reference), strict=True):
        assert ours.dtype == theirs.dtype
        ours, theirs = ours.astype("float32"), theirs.astype("float32")
        # Sums in another order, rounded to the dtype at the end.
        tolerance = 1e-5 if dtype == "float32" else 1e-2
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_every_convolution_in_a_loop_has_the_layout_that_is_fast_on_a_cpu():
    images, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 3))
    padding = ((1, 1), (1, 1))

    def layouts(convolve):
        def step(weights, _):
            def loss(kernel, images):
                return jnp.sum(convolve(images, kernel, 1, padding) ** 2)

            grads = jax.grad(loss, argnums=(0, 1))(*weights)
            return jax.tree.map(lambda w, g: w - 0.1 * g, weights, grads), None

        steps = jax.jit(lambda w: jax.lax.scan(step, w, length=5))
        text = steps.lower((kernel, images)).compile().as_text()
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", text))

    assert layouts(convolve) == {"b01f_01io->b01f"}
    assert layouts(reference) != {"b01f_01io->b01f"}  # the reason for our own


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "SAME", "strides": 2},
        {"strides": (1, 2)},
        {"padding": 1, "input_dilation": 2},
        {"feature_group_count": 2},
        {"kernel_size": 3},  # of texts, one axis
    ],
)
def test_every_convolution_of_flax_has_the_values_and_gradients_of_jax(options):
    options = {"kernel_size": (3, 3)} | options
    network = nnx.Conv(2, 4, rngs=nnx.Rngs(0), **options)
    sides = (7, 6) if options["kernel_size"] == (3, 3) else (7,)
    inputs = jax.random.normal(jax.random.key(1), (5, *sides, 2))

    def run():
        graph, state = nnx.split(network)

        def loss(state, inputs):
            outputs = nnx.merge(graph, state)(inputs)
            return jnp.sum(jnp.sin(outputs)), outputs

        grads = jax.grad(loss, argnums=(0, 1), has_aux=True)
        return jax.jit(grads)(state, inputs)

    theirs = run()
    speed_up(network)
    assert network.conv_general_dilated is convolve_for_flax
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, run(), theirs)
