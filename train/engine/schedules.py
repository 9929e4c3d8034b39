"""The learning rate of every step, computed before the run.

The rates enter the compiled step as data, so runs with different schedules share one
program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.settings.optimizer import Schedule


def learning_rates(
    config: Schedule, peak: float, *, epochs: int, steps_per_epoch: int
) -> np.ndarray:
    """The learning rates of a run, float32 [epochs, steps_per_epoch]."""
    # In float64: 0.99985, rounded to float32, is off by 0.1 % after 100 epochs' powers.
    with jax.enable_x64(True):
        schedule = _schedule(config, peak, epochs * steps_per_epoch, steps_per_epoch)
        steps = jnp.arange(epochs * steps_per_epoch)
        rates = jax.vmap(schedule)(steps)
        # Warm-up multiplies: milestones keep the epochs they are given for.
        warmup_steps = max(config.warmup_epochs * steps_per_epoch, 1)
        rates = rates * jnp.minimum(1.0, (steps + 1) / warmup_steps)
        return np.asarray(rates, np.float32).reshape(epochs, steps_per_epoch)


def _schedule(
    config: Schedule, peak: float, num_steps: int, steps_per_epoch: int
) -> optax.Schedule:
    """The rate of each step but for the warm-up."""
    match config.schedule:
        case "constant":
            return lambda count: jnp.full_like(count, peak, float)
        case "step":
            factor = config.milestone_factor
            drops = {epoch * steps_per_epoch: factor for epoch in config.milestones}
            return optax.piecewise_constant_schedule(peak, drops)
        case "exponential":
            decay = optax.exponential_decay(
                peak,
                transition_steps=1,
                decay_rate=config.exponential_rate,
                transition_begin=config.exponential_after * steps_per_epoch,
            )
            # The authors multiply before the step (py_Figure5_Cifar10&Cifar100.py:137):
            # the first one after `exponential_after` epochs has a smaller rate already.
            return lambda count: decay(count + 1)
        case "cosine":
            return optax.cosine_decay_schedule(peak, num_steps)
