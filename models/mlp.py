"""Multilayer perceptron."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

_HIDDEN_INIT = nnx.initializers.he_normal()
_OUTPUT_INIT = nnx.initializers.lecun_normal()


class MLP(nnx.Module):
    """Fully connected layers with ReLU between them; no normalisation, no dropout.

    Args:
      num_inputs: numbers an example has, at least 1.
      hidden: units of each hidden layer, each at least 1.
      num_outputs: at least 1.
      rngs: source of the initial weights.

    Raises:
      ValueError: a size is below 1.
    """

    def __init__(
        self,
        num_inputs: int,
        hidden: Sequence[int],
        num_outputs: int,
        *,
        rngs: nnx.Rngs,
    ):
        sizes = (num_inputs, *hidden, num_outputs)
        if min(sizes) < 1:
            raise ValueError(f"the layers of an MLP must be at least 1, got {sizes}.")
        inits = [_HIDDEN_INIT] * len(hidden) + [_OUTPUT_INIT]
        self.layers = nnx.List(
            nnx.Linear(inputs, outputs, kernel_init=init, rngs=rngs)
            for inputs, outputs, init in zip(sizes[:-1], sizes[1:], inits, strict=True)
        )

    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        """Computes the outputs.

        Args:
          inputs: float32 [batch, ...], flattened.
          train: nothing here depends on it.

        Returns:
          float32 [batch, num_outputs].
        """
        del train
        x = jnp.reshape(inputs, (len(inputs), -1))
        *hidden, output = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return output(x)
