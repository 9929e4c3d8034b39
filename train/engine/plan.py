"""An epoch's order, learning rates and random numbers, from seed, options and epoch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from train.engine import devices, schedules
from train.engine.spec import Spec
from train.engine.types import EpochPlan
from train.settings.experiment import Run


class Planner:
    """Makes the plan of any epoch of a run.

    One seed fixes weights, order, augmentation and noise, each with a key of its own,
    and an epoch's randomness depends on its number alone: a resumed run repeats it.

    Args:
      config: the run.
      spec: its sizes.
      draw: compiled, what `make_draw` returns.
      phases: 0 or 1 for each step of the run, for --phases-of; else None.
    """

    def __init__(
        self,
        config: Run,
        spec: Spec,
        draw: Callable[..., tuple[jax.Array, ...]],
        phases: np.ndarray | None,
    ):
        self._seed = np.uint32(config.seed)
        own = config.init_seed is not None
        self._init_seed = np.uint32(config.init_seed if own else config.seed)
        self._spec = spec
        self._draw = draw
        self._rates = schedules.learning_rates(
            config.schedule,
            config.optimizer.learning_rate,
            epochs=config.epochs,
            steps_per_epoch=spec.steps_per_epoch,
        )
        self._phases = phases
        self._shuffled = config.optimizer.phase == "shuffled"

    def init_key(self) -> jax.Array:
        """Of the initial weights."""
        return jax.random.split(jax.random.key(self._init_seed), 4)[0]

    def last_rate(self, epoch: int) -> float:
        """Learning rate of the last step of an epoch, counted from 0."""
        return float(self._rates[epoch, -1])

    def plan(self, epoch: int) -> EpochPlan:
        """The plan of an epoch, counted from 0."""
        steps = self._spec.steps_per_epoch
        order, key, noise, noise_key = self._draw(self._seed, np.int32(epoch))
        if self._phases is not None:
            # 0 is below the share, 1/2, for the low-loss phase; 3/4 is not.
            is_low = self._phases[epoch * steps : (epoch + 1) * steps] == 1
            noise = jnp.where(is_low, 0.0, 0.75)
            if self._shuffled:
                noise = jax.random.permutation(noise_key, noise)
        plan = EpochPlan(
            order=order,
            learning_rates=self._rates[epoch],
            noise=noise,
            key=key,
        )
        return devices.put(plan, self._spec.num_devices)


def make_draw(size: int, steps: int) -> Callable[..., tuple[jax.Array, ...]]:
    """Returns what draws an epoch's random numbers: one program, as the device waits.

    It is `draw(seed, epoch) -> (order, augmentation key, noise, key of the noise)`, of
    uint32 and int32.

    Args:
      size: training examples.
      steps: of an epoch.
    """

    def draw(seed: jax.Array, epoch: jax.Array) -> tuple[jax.Array, ...]:
        _, *keys = jax.random.split(jax.random.key(seed), 4)
        order_key, augmentation_key, noise_key = (
            jax.random.fold_in(key, epoch) for key in keys
        )
        order = jax.random.permutation(order_key, size).astype(jnp.int32)
        noise = jax.random.uniform(noise_key, (steps,))
        return order, augmentation_key, noise, noise_key

    return draw
