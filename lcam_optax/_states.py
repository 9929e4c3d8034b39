"""The states: what checkpoints hold. CONTRIBUTING.md says how they may change."""

from __future__ import annotations  # short signatures in `help`

from typing import Any, NamedTuple

import jax
import optax


class WeightedMeanState(NamedTuple):
    """A weighted mean of the losses so far.

    Attributes:
      weight: scalar, the sum of the weights, where the newest loss weighs 1
        (`ema_average`: float32; `epoch_average`, a plain count: int32).
      mean: float32 scalar, the mean; 0 before the first loss.

    Example:
      >>> import lcam_optax
      >>> average = lcam_optax.ema_average(0.5)
      >>> _, state = average.update(average.init(), 4.0)
      >>> print(state.weight, state.mean)
      1.0 4.0
    """

    weight: jax.Array
    mean: jax.Array


class RecentLossesState(NamedTuple):
    """The last losses; state of `median_average`.

    Attributes:
      number: int32 scalar, how many there are, at most the window.
      losses: float32 [window], the newest last; 0 where there is none yet.

    Example:
      >>> import lcam_optax
      >>> average = lcam_optax.median_average(3)
      >>> _, state = average.update(average.init(), 4.0)
      >>> print(state.number, state.losses)
      1 [0. 0. 4.]
    """

    number: jax.Array
    losses: jax.Array


class LossPhaseState(NamedTuple):
    """State of `loss_phase_schedule`.

    Shapes and dtypes never change. `phase` and `average_loss` can be read out of a
    nested optimizer state by name, as in `optax.tree.get(opt_state, "phase")`.

    Attributes:
      count: int32 scalar, update calls so far; schedules are called with it.
      loss_average: state of the `LossAverage`; stands still on a loss that is left out.
      average_loss: float32 scalar, the average the last finite loss was compared
        with; 0 before the first. A diagnostic: `update` only falls back to it.
      phase: int32 scalar, a `Phase`: the outcome of the last comparison. It acted on
        the last step or, with `lagged=True`, will act on the next.

    Example:
      >>> import lcam_optax
      >>> schedule = lcam_optax.loss_phase_schedule(0.9, 0.95)
      >>> state = schedule.update(schedule.init(), value=2.0)
      >>> print(state.count, state.average_loss, state.phase)
      1 2.0 0
    """

    count: jax.Array
    loss_average: Any
    average_loss: jax.Array
    phase: jax.Array


class ScaleByLcamState(NamedTuple):
    """State of `scale_by_lcam`.

    Shapes and dtypes never change, as long as gradients have the parameters' dtype or
    `accumulator_dtype` is given (as with `optax.sgd`). `phase`, `momentum` and
    `average_loss` can be read out of a nested optimizer state by name, as in
    `optax.tree.get(opt_state, "phase")`.

    Attributes:
      count: as in `LossPhaseState`, and so are `loss_average`, `average_loss` and
        `phase`.
      momentum: float32 scalar, the coefficient of the last step; 0 before the first.
        A diagnostic, not read by `update`.
      trace: like the parameters, the accumulated gradients.

    Example:
      >>> import jax.numpy as jnp, lcam_optax
      >>> optimizer = lcam_optax.scale_by_lcam()
      >>> gradients = jnp.ones(2)
      >>> _, state = optimizer.update(gradients, optimizer.init(gradients), value=2.0)
      >>> print(state.momentum, state.trace)
      0.9 [1. 1.]
    """

    # Change with every call.
    count: jax.Array
    trace: optax.Updates
    momentum: jax.Array
    # Change with every call that brings a finite loss.
    loss_average: Any
    average_loss: jax.Array
    phase: jax.Array
