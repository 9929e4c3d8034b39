"""Loss and error of each example of a batch."""

import jax
import jax.numpy as jnp
import optax


def example_losses(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Loss of each example, [batch]: cross-entropy, or half of the squared error."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        return optax.losses.l2_loss(outputs[:, 0], targets)
    return _mean_of_each(
        optax.losses.softmax_cross_entropy_with_integer_labels(outputs, targets)
    )


def example_errors(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Error of each example, [batch]: the share of wrong classes, or the square."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        return jnp.square(outputs[:, 0] - targets)
    return _mean_of_each((jnp.argmax(outputs, axis=-1) != targets).astype(jnp.float32))


def _mean_of_each(numbers: jax.Array) -> jax.Array:
    """Mean over all axes but the first."""
    return jnp.mean(numbers, axis=tuple(range(1, numbers.ndim)))
