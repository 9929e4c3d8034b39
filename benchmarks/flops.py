"""Measures the machine's rate of matrix products."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks.timing import median_of

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
