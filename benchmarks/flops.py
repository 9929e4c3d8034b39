"""Counts the operations of training a network, and measures the machine's rate."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from benchmarks.timing import median_of
from train.engine.networks import NetworkSpec, make_network

SIZES = tuple(2**power for power in range(8, 14))
# A CPU that lacks a dtype takes minutes for what a GPU does in a millisecond.
ENOUGH = 0.05  # seconds


@functools.cache
def matrix_rate(
    make_product: Callable[[str, int], Callable[[], object]], dtype: str
) -> float:
    """Operations a second in products of two square matrices, measured once.

    Args:
      make_product: makes what takes a product of a dtype and size, and waits for it.
      dtype: "float32", "bfloat16".

    Returns:
      The best rate of ever larger products, the last of which takes `ENOUGH`.
    """
    rates = []
    for size in SIZES:
        seconds = median_of(make_product(dtype, size), repeats=10)
        rates.append(2 * size**3 / seconds)
        if seconds > ENOUGH:
            break
    return max(rates)


def make_product(dtype: str, size: int) -> Callable[[], jax.Array]:
    """Makes what takes a product of normal numbers, by JAX."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
    product = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(product(a, b))


@functools.cache
def training_flops(spec: NetworkSpec) -> int:
    """Floating-point operations of a training step for one example.

    Counted are the products of convolutions and matrices, two operations for each
    multiplication, zeros of the padding included: once forward, and twice as many
    backward, but for a first layer of numbers, whose inputs need no gradient.
    """
    inputs = jnp.zeros((1, *spec.input_shape), jnp.int32 if spec.is_text else None)
    forward = jax.make_jaxpr(
        lambda x: make_network(spec, jax.random.key(0))(x, train=False)
    )
    products = _products(forward(inputs).jaxpr)
    return 3 * sum(products) - (0 if spec.is_text else sum(products[:1]))


def _products(jaxpr: Any) -> list[int]:
    """Operations of each product, in order, those of inner programs included."""
    counts = []
    for equation in jaxpr.eqns:
        size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        match equation.primitive.name:
            case "conv_general_dilated":
                # Of the kernel's axes all but the outputs' are summed over.
                kernel = equation.invars[1].aval.shape
                axes = equation.params["dimension_numbers"].rhs_spec
                counts.append(2 * size * math.prod(kernel) // kernel[axes[0]])
            case "dot_general":
                (summed, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                counts.append(2 * size * math.prod(shape[axis] for axis in summed))
            case _:
                for inner in jaxprs_in_params(equation.params):
                    counts += _products(inner)
    return counts
