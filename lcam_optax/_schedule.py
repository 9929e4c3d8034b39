"""A value that depends on the loss: the monitor, the detector and the choice.

The three stand here once. `scale_by_lcam` picks its momentum with them, and
`loss_phase_schedule` hands them to any hyperparameter of any optimizer.
"""

from __future__ import annotations  # short signatures in `help`

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from ._checks import (
    check_average,
    check_average_state,
    check_flag,
    check_loss,
    check_number,
    check_number_or_schedule,
    check_state,
    shown,
)
from ._loss_average import LossAverage, as_loss_average, ema_average
from ._phase import Phase, detect_phase
from ._states import LossPhaseState

_NEEDS_INJECTION = (
    "`loss_phase_schedule` keeps a state, and needs `inject_hyperparams`, as in "
    "`optax.inject_hyperparams(optax.sgd)(0.1, momentum="
    "lcam_optax.loss_phase_schedule(0.9, 0.95))`."
)

DEFAULT_AVERAGE = ema_average()


# Where the paper, its authors' code and the rest of the field differ, and what is done
# here (upstream: py_Figure3_Cifar10.py, line numbers as in
# https://github.com/hakumaicc/Asymmetric-Momentum-LCAM, commit acb3cff):
#
# - The average. Upstream restarts a running mean every epoch (:292), which makes the
#   phase at the start of an epoch a matter of two or three losses. A moving average
#   needs no notion of an epoch. `epoch_average` gives upstream's.
# - The loss itself is part of the average it is compared with, there (:305) and here.
#   Averages of one's own may leave it out.
# - The time. Upstream sets the coefficient after `optimizer.step()` (:303), so a
#   comparison acts on the next step. The paper describes acting at once, which is the
#   default here, since loss and gradient are known together. `lagged=True` gives
#   upstream's timing.
# - A tie is high loss, there and here.
# - A loss that is not finite. Upstream lets a NaN into the mean, which makes the rest
#   of the epoch high loss. Here it changes neither average nor phase. Nor does a finite
#   loss that would make the average infinite.
@dataclass(eq=False)  # hashable, as a static argument of `jit` must be
class LossPhaseSchedule:
    """An `optax.schedules.StatefulSchedule`; see `loss_phase_schedule`."""

    high_loss_value: optax.ScalarOrSchedule
    low_loss_value: optax.ScalarOrSchedule
    loss_average: LossAverage
    margin: ArrayLike
    lagged: bool
    axis_name: Hashable | None

    def __post_init__(self) -> None:
        """Checks what all have in common; the values are the caller's to check."""
        check_number("margin", self.margin, 0, math.inf)
        check_flag("lagged", self.lagged)

    def init(self) -> LossPhaseState:
        """The state before the first loss: high loss."""
        return LossPhaseState(
            count=jnp.zeros((), jnp.int32),
            # Python numbers become arrays of a fixed dtype, as they are after a step.
            loss_average=jax.tree.map(_as_array, self.loss_average.init()),
            average_loss=jnp.zeros((), jnp.float32),
            phase=jnp.asarray(Phase.HIGH_LOSS, jnp.int32),
        )

    @cached_property  # an update outside of `jit` would pay for it each time
    def _initial(self) -> LossPhaseState:
        """The shapes and dtypes of `init`'s state."""
        return jax.eval_shape(self.init)

    def _used_alone(self, *_: Any) -> Any:
        """What an optimizer does with a number, where the schedule stands for one."""
        raise TypeError(_NEEDS_INJECTION)

    __add__ = __radd__ = __sub__ = __rsub__ = _used_alone
    __mul__ = __rmul__ = __pow__ = __rpow__ = __neg__ = _used_alone

    def update(
        self,
        state: LossPhaseState,
        *,
        value: ArrayLike | None = None,
        **extra_args: Any,
    ) -> LossPhaseState:
        """The state after the loss `value`."""
        return self.step(state, value, extra_args)[1]

    def __call__(
        self,
        state: LossPhaseState,
        *,
        value: ArrayLike | None = None,
        **extra_args: Any,
    ) -> ArrayLike:
        """The value for the step whose loss is `value`."""
        check_state(state, LossPhaseState, _NEEDS_INJECTION)
        if value is None:  # `inject_hyperparams` asks once before the first loss
            return self._value_in(state.phase, state.count)
        return self.step(state, value, extra_args)[0]

    def step(
        self, state: Any, value: ArrayLike | None, extra_args: Mapping[str, Any]
    ) -> tuple[jax.Array, LossPhaseState]:
        """The value for the step whose loss is `value`, and the state after it.

        Args:
          state: whatever has the fields of `LossPhaseState`.
          value: the scalar loss.
          extra_args: the other keywords that came, for the message if no loss did.
        """
        loss = check_loss(value, extra_args)
        if self.axis_name is not None:
            loss = jax.lax.pmean(loss, self.axis_name)

        # Loss monitor. The average never sees a non-finite loss. A finite one that the
        # average cannot take in is left out too: an infinite mean would stay for ever.
        check_average_state(state.loss_average, self._initial.loss_average)
        is_finite = jnp.isfinite(loss)
        loss = jnp.where(is_finite, loss, state.average_loss)
        average, average_state = check_average(
            self.loss_average.update(state.loss_average, loss), state.loss_average
        )
        is_finite &= jnp.isfinite(average)

        # Phase detector.
        phase = detect_phase(loss, average, state.phase, self.margin)
        average, average_state, phase = jax.tree.map(
            lambda new, old: jnp.where(is_finite, new, old),
            (average, average_state, phase),
            (state.average_loss, state.loss_average, state.phase),
        )

        # The choice.
        acting = state.phase if self.lagged else phase
        return self._value_in(acting, state.count), LossPhaseState(
            count=jnp.asarray(optax.safe_increment(state.count)),
            loss_average=average_state,
            average_loss=average,
            phase=phase,
        )

    def _value_in(self, phase: jax.Array, count: jax.Array) -> jax.Array:
        return jnp.where(
            phase == Phase.LOW_LOSS,
            _at(self.low_loss_value, count),
            _at(self.high_loss_value, count),
        )


def loss_phase_schedule(
    high_loss_value: optax.ScalarOrSchedule,
    low_loss_value: optax.ScalarOrSchedule,
    *,
    loss_average: LossAverage | ArrayLike = DEFAULT_AVERAGE,
    margin: ArrayLike = 0.0,
    lagged: bool = False,
    axis_name: Hashable | None = None,
) -> optax.schedules.StatefulSchedule:
    """Any hyperparameter of any optimizer by the phase of the loss.

    LCAM's rule, for more than the momentum of SGD: one value while the loss is not
    below its running average, another while it is. `optax.inject_hyperparams` keeps the
    schedule's state and hands it the loss, so every `update` needs `value=loss`.

    `optax.inject_hyperparams(optax.sgd)(0.1, momentum=loss_phase_schedule(0.9, 0.95))`
    is `lcam(0.1, 0.9, 0.95)`, bit for bit with float32 parameters.

    Args:
      high_loss_value: while the loss is not below its average, a float or a schedule of
        the count of update calls. Also what `init` puts into `hyperparams`.
      low_loss_value: while the loss is below its average, a float or a schedule.
      loss_average: as in `lcam`.
      margin: as in `lcam`.
      lagged: as in `lcam`.
      axis_name: as in `lcam`.

    Returns:
      An `optax.schedules.StatefulSchedule`. Its state is a `LossPhaseState`. Several
      schedules in one optimizer have an average each.

    Raises:
      ValueError: a value is a Python number that is not finite, or `margin` a negative
        or infinite one.
      TypeError: an argument is of the wrong type.

    Example:
      >>> import jax.numpy as jnp, lcam_optax, optax
      >>> optimizer = optax.inject_hyperparams(optax.adamw)(
      ...     1e-3, b1=lcam_optax.loss_phase_schedule(0.9, 0.95)
      ... )
      >>> params = jnp.zeros(2)
      >>> opt_state = optimizer.init(params)
      >>> for loss in [4.0, 2.0, 4.0]:
      ...     updates, opt_state = optimizer.update(
      ...         jnp.ones(2), opt_state, params, value=loss
      ...     )
      ...     params = optax.apply_updates(params, updates)
      ...     average = optax.tree.get(opt_state, "average_loss")
      ...     b1 = opt_state.hyperparams["b1"]
      ...     print(f"loss {loss}  average {average:.2f}  b1 {b1:.2f}")
      loss 4.0  average 4.00  b1 0.90
      loss 2.0  average 2.95  b1 0.95
      loss 4.0  average 3.34  b1 0.90
    """
    check_number_or_schedule("high_loss_value", high_loss_value, -math.inf, math.inf)
    check_number_or_schedule("low_loss_value", low_loss_value, -math.inf, math.inf)
    return LossPhaseSchedule(
        high_loss_value,
        low_loss_value,
        as_loss_average(loss_average),
        margin,
        lagged,
        axis_name,
    )


def _as_array(leaf: Any) -> jax.Array:
    try:
        return jnp.asarray(leaf, jnp.asarray(leaf).dtype)
    except (TypeError, ValueError):
        raise TypeError(
            f"`loss_average.init` must return a pytree of arrays, got {shown(leaf)} "
            "in it."
        ) from None


def _at(setting: optax.ScalarOrSchedule, count: jax.Array) -> ArrayLike:
    """The number, or the schedule's value at this count of update calls."""
    return setting(count) if callable(setting) else setting
