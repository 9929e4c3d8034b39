"""The learning rate of every step, computed before training.

The rates enter the compiled step as data, so runs with different schedules share one
program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.config import Schedule


def learning_rates(
    config: Schedule, peak: float, *, epochs: int, steps_per_epoch: int
) -> np.ndarray:
    """Returns the learning rate of each step, float32 [epochs * steps_per_epoch]."""
    num_steps = epochs * steps_per_epoch
    schedule = _schedule(config, peak, num_steps, steps_per_epoch)
    steps = jnp.arange(num_steps)
    rates = jax.vmap(schedule)(steps)
    # Warm-up multiplies: milestones keep the epochs they are given for.
    warmup_steps = max(config.warmup_epochs * steps_per_epoch, 1)
    rates = rates * jnp.minimum(1.0, (steps + 1) / warmup_steps)
    return np.asarray(rates, np.float32)


def _schedule(
    config: Schedule, peak: float, num_steps: int, steps_per_epoch: int
) -> optax.Schedule:
    match config.schedule:
        case "constant":
            return lambda count: jnp.full_like(count, peak, jnp.float32)
        case "step":
            drops = {
                epoch * steps_per_epoch: config.milestone_factor
                for epoch in config.milestones
            }
            return optax.piecewise_constant_schedule(peak, drops)
        case "exponential":
            return optax.exponential_decay(
                peak,
                transition_steps=1,
                decay_rate=config.exponential_rate,
                transition_begin=config.exponential_after * steps_per_epoch,
            )
        case "cosine":
            return optax.cosine_decay_schedule(peak, num_steps)
