import jax
import numpy as np
import pytest
from flax import nnx

from models import MLP


def test_outputs_are_those_of_numpy():
    network = MLP(6, (4, 3), 2, rngs=nnx.Rngs(0))
    inputs = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    x = inputs.reshape(5, 6)
    for index, layer in enumerate(network.layers):
        layer.bias[...] = jax.numpy.full(layer.bias.shape, 0.1 * (index + 1))
        x = x @ np.asarray(layer.kernel) + np.float32(0.1 * (index + 1))
        x = np.maximum(x, 0) if index < 2 else x
    np.testing.assert_allclose(network(inputs, train=True), x, rtol=1e-5)


def test_training_changes_nothing():
    network = MLP(2, (3,), 1, rngs=nnx.Rngs(0))
    inputs = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(
        network(inputs, train=True), network(inputs, train=False)
    )


@pytest.mark.parametrize("sizes", [(0, (3,), 1), (2, (0,), 1), (2, (), 0)])
def test_empty_layers_are_refused(sizes):
    with pytest.raises(ValueError, match="must be at least 1"):
        MLP(*sizes, rngs=nnx.Rngs(0))
