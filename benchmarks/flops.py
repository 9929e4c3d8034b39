"""What the machine can do of a network's arithmetic."""

import jax
import jax.numpy as jnp

from benchmarks.timing import median_of


def matrix_rate(dtype: str, size: int) -> float:
    """Operations a second of a product of two square matrices of normal numbers."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
    product = jax.jit(jnp.matmul)
    seconds = median_of(lambda: jax.block_until_ready(product(a, b)), repeats=10)
    return 2 * size**3 / seconds
