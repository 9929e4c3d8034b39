"""The arithmetic of training a network, and what the machine can do of it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from benchmarks.timing import median_of
from train.networks import NetworkSpec, make_network


def training_flops(spec: NetworkSpec) -> int:
    """Floating-point operations of a training step for one example.

    Counted are the products of convolutions and matrices, two operations for each
    multiplication, zeros of the padding included: once forward, and twice as many
    backward, but for the first layer's, whose inputs need no gradient. Whatever a
    program does besides, or a clever algorithm spares, does not count.
    """

    def forward(inputs: jax.Array) -> jax.Array:
        return make_network(spec, jax.random.key(0))(inputs, train=False)

    inputs = jax.ShapeDtypeStruct((1, *spec.input_shape), jnp.float32)
    traced = jax.make_jaxpr(forward)(inputs)
    products = _products(traced.jaxpr)
    return 3 * sum(products) - products[0]


def _products(jaxpr: Any) -> list[int]:
    """Operations of each product, in order, those of inner programs included."""
    counts = []
    for equation in jaxpr.eqns:
        outputs = [math.prod(variable.aval.shape) for variable in equation.outvars]
        match equation.primitive.name:
            case "conv_general_dilated":
                # Of the kernel's axes all but the outputs' are summed over.
                kernel = equation.invars[1].aval.shape
                axes = equation.params["dimension_numbers"].rhs_spec
                counts.append(2 * outputs[0] * math.prod(kernel) // kernel[axes[0]])
            case "dot_general":
                (summed, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                depth = math.prod(shape[axis] for axis in summed)
                counts.append(2 * outputs[0] * depth)
            case _:
                for inner in jaxprs_in_params(equation.params):
                    counts += _products(inner)
    return counts


def matrix_rate(dtype: str, size: int) -> float:
    """Operations a second of a product of two square matrices of normal numbers."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
    product = jax.jit(jnp.matmul)
    seconds = median_of(lambda: jax.block_until_ready(product(a, b)), repeats=10)
    return 2 * size**3 / seconds
