"""The phase detector: is the loss high or low at the moment?"""

import enum

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class Phase(enum.IntEnum):
    """Where the loss stands relative to its average.

    Attributes:
      HIGH_LOSS: not below the average: the paper's Horizontal Phase, in which slowly
        changing weights move.
      LOW_LOSS: below the average: the paper's Vertical Phase, in which fast changing
        weights move.

    Example:
      >>> import jax.numpy as jnp, lcam_optax, optax
      >>> optimizer = lcam_optax.lcam(0.1)
      >>> params = jnp.zeros(2)
      >>> opt_state = optimizer.init(params)
      >>> for loss in [2.0, 1.0]:
      ...     _, opt_state = optimizer.update(params, opt_state, value=loss)
      >>> lcam_optax.Phase(optax.tree.get(opt_state, "phase").item()).name
      'LOW_LOSS'
    """

    HIGH_LOSS = 0
    LOW_LOSS = 1


def detect_phase(
    loss: jax.Array, average: jax.Array, previous: jax.Array, margin: ArrayLike
) -> jax.Array:
    """Compares a loss with its average, outside a dead band around it.

    Args:
      loss: float32 scalar.
      average: float32 scalar.
      previous: int32 scalar, the `Phase` before; it stays inside the band.
      margin: half the width of the dead band relative to `|average|`, at least 0. At
        0 there is no band: below the average is low, anything else high.

    Returns:
      int32 scalar, a `Phase`.
    """
    band = jnp.asarray(margin, jnp.float32) * jnp.abs(average)
    is_low = loss < average - band
    is_high = loss >= average + band
    outside = jnp.where(is_low, jnp.int32(Phase.LOW_LOSS), jnp.int32(Phase.HIGH_LOSS))
    return jnp.where(is_low | is_high, outside, previous)
