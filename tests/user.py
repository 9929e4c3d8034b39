"""A user's script, for type checkers: the library's types reach an installed wheel."""

from typing import assert_type

import jax
import jax.numpy as jnp
import optax

import lcam_optax

optimizer = optax.chain(
    optax.add_decayed_weights(5e-4),
    lcam_optax.lcam(
        optax.cosine_decay_schedule(0.1, decay_steps=10),
        high_loss_momentum=0.9,
        low_loss_momentum=0.95,
        loss_average=lcam_optax.epoch_average(5),
        accumulator_dtype=jnp.bfloat16,
    ),
)
params = {"w": jnp.zeros(3)}
state = optimizer.init(params)


def loss_fn(params: dict[str, jax.Array]) -> jax.Array:
    """Returns the loss."""
    return jnp.sum((params["w"] - 1) ** 2)


loss, grads = jax.value_and_grad(loss_fn)(params)
updates, state = optimizer.update(grads, state, params, value=loss)
params = optax.apply_updates(params, updates)


def low_loss(state: lcam_optax.ScaleByLcamState) -> jax.Array:
    """Returns whether the last step was in the low-loss phase."""
    # Without the library's py.typed all of this would be Any, which is never refused.
    assert_type(state.phase, jax.Array)
    return state.phase == lcam_optax.Phase.LOW_LOSS


print(optax.tree.get(state, "phase"))
