"""The loss monitor: a running average of the loss, as a pair of pure functions."""

from __future__ import annotations  # short signatures in `help`

import inspect
import numbers
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._checks import check_number, scheduling_hint, shown
from ._states import RecentLossesState, WeightedMeanState


class LossAverage(NamedTuple):
    """A running average of the loss: what LCAM compares each loss with.

    A user's own average is a pair of pure functions, traceable by JAX. They never see
    a non-finite loss: `lcam` keeps those out.

    Attributes:
      init: `init() -> state`, a pytree of arrays whose shapes and dtypes stay.
      update: `update(state, loss) -> (average, state)`, a tuple. Both arguments come
        by position. `loss` is a float32 scalar,
        `average` a real scalar: what this very loss is compared with, this loss
        included. Where the average is not finite, the loss is left out: `lcam` then
        keeps the average, the state and the phase of before.

    Example:
      >>> import jax.numpy as jnp, lcam_optax
      >>> lowest = lcam_optax.LossAverage(
      ...     init=lambda: jnp.float32(jnp.inf),
      ...     update=lambda state, loss: (jnp.minimum(state, loss),) * 2,
      ... )
      >>> optimizer = lcam_optax.lcam(0.1, loss_average=lowest)  # never low-loss
      >>> average, state = lowest.update(lowest.init(), 2.0)
      >>> print(average)
      2.0
    """

    init: Callable[[], Any]
    update: Callable[[Any, jax.Array], tuple[jax.Array, Any]]


def ema_average(decay: ArrayLike = 0.9) -> LossAverage:
    """A bias-corrected exponential moving average, carried across epochs.

    The average after loss t is that of `optax.ema(decay, debias=True)`::

        sum over s <= t of decay**(t - s) * loss[s]
        -------------------------------------------
            sum over s <= t of decay**(t - s)

    A higher decay is steadier and slower. For losses that scatter independently, the
    standard deviation of the average is `sqrt((1 - decay) / (1 + decay))` of theirs:
    0.23 at 0.9, and 0.07 at 0.99. Where a loss falls by a constant step, the average
    lags behind it by `decay / (1 - decay)` steps: 9 at 0.9, and 99 at 0.99.

    Args:
      decay: weight of one step's loss relative to the next one's, in [0, 1). The
        average looks back over about `1 / (1 - decay)` update calls. The default is
        this library's; the authors average over the epoch (`epoch_average`).

    Returns:
      A `LossAverage`.

    Raises:
      ValueError: `decay` is a Python number outside [0, 1), or rounds to 1 in float32.
      TypeError: `decay` is not a number.

    Example:
      >>> import lcam_optax
      >>> average = lcam_optax.ema_average(0.5)
      >>> state = average.init()
      >>> for loss in [4.0, 2.0, 3.0]:
      ...     mean, state = average.update(state, loss)
      ...     print(f"{mean:.2f}")
      4.00
      2.67
      2.86
    """
    check_number("decay", decay, 0, 1)

    def init_fn() -> WeightedMeanState:
        return WeightedMeanState(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))

    def update_fn(
        state: WeightedMeanState, loss: jax.Array
    ) -> tuple[jax.Array, WeightedMeanState]:
        weight = 1 + jnp.asarray(decay, jnp.float32) * state.weight
        mean = _mean_with(loss, state.mean, weight)
        return mean, WeightedMeanState(weight, mean)

    return _named(f"ema_average({shown(decay)})", init_fn, update_fn)


def epoch_average(steps_per_epoch: ArrayLike) -> LossAverage:
    """The mean loss of this epoch so far, this loss included, restarted every epoch.

    This is the authors' average (`py_Figure3_Cifar10.py:303` of
    https://github.com/hakumaicc/Asymmetric-Momentum-LCAM). The first loss of an epoch
    equals its average, so it always opens the high-loss phase.

    Args:
      steps_per_epoch: update calls in an epoch, from 1 to 2**31 - 1. Non-finite losses
        are not counted: each shifts the following restarts by one call.

    Returns:
      A `LossAverage`.

    Raises:
      ValueError: `steps_per_epoch` is a Python integer out of this range.
      TypeError: `steps_per_epoch` is not an integer.

    Example:
      >>> import lcam_optax
      >>> average = lcam_optax.epoch_average(2)
      >>> state = average.init()
      >>> for loss in [4.0, 2.0, 1.0]:
      ...     mean, state = average.update(state, loss)
      ...     print(mean)
      4.0
      3.0
      1.0
    """
    check_number("steps_per_epoch", steps_per_epoch, 1, 2**31, whole=True)

    def init_fn() -> WeightedMeanState:
        return WeightedMeanState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def update_fn(
        state: WeightedMeanState, loss: jax.Array
    ) -> tuple[jax.Array, WeightedMeanState]:
        period = jnp.asarray(steps_per_epoch, jnp.int32)
        weight = state.weight % period + 1
        mean = _mean_with(loss, state.mean, weight.astype(jnp.float32))
        return mean, WeightedMeanState(weight, mean)

    return _named(f"epoch_average({shown(steps_per_epoch)})", init_fn, update_fn)


def median_average(window: int = 21) -> LossAverage:
    """The running median of the last losses, this loss included.

    A single loss far away, a spike, moves it by one rank. A mean takes many steps to
    forget a large one. Of losses that scatter independently around a level, about half
    are high-loss: (window + 1) / (2 * window) with an odd window, 52 % at 21.

    Args:
      window: how many losses, from 1 to 2**31 - 1. Until so many have come, the median
        is of all. An odd number is best: the median is then one of the losses.

    Returns:
      A `LossAverage`. Its state, a `RecentLossesState`, holds `window` numbers.

    Raises:
      ValueError: `window` is out of this range.
      TypeError: `window` is not an integer, or is a traced one: it is a shape.

    Example:
      >>> import lcam_optax
      >>> average = lcam_optax.median_average(3)
      >>> state = average.init()
      >>> for loss in [2.0, 100.0, 3.0, 1.0]:
      ...     median, state = average.update(state, loss)
      ...     print(median)
      2.0
      51.0
      3.0
      3.0
    """
    check_number("window", window, 1, 2**31, whole=True)
    length = operator.index(window)

    def init_fn() -> RecentLossesState:
        return RecentLossesState(
            jnp.zeros((), jnp.int32), jnp.zeros(length, jnp.float32)
        )

    def update_fn(
        state: RecentLossesState, loss: jax.Array
    ) -> tuple[jax.Array, RecentLossesState]:
        number = jnp.minimum(state.number + 1, length)
        losses = jnp.roll(state.losses, -1).at[-1].set(loss)
        is_loss = jnp.arange(length) >= length - number
        ordered = jnp.sort(jnp.where(is_loss, losses, jnp.inf))
        # Halved before they are added: two large losses have no sum.
        middle = ordered[(number - 1) // 2] / 2 + ordered[number // 2] / 2
        return middle, RecentLossesState(number, losses)

    return _named(f"median_average({length})", init_fn, update_fn)


def as_loss_average(setting: LossAverage | ArrayLike) -> LossAverage:
    """Takes a number for the decay of an `ema_average`.

    Raises:
      ValueError: `setting` is a Python number outside [0, 1).
      TypeError: `setting` is neither a `LossAverage` of two functions nor a number.
    """
    if isinstance(setting, LossAverage):
        for name, arguments in (("init", ()), ("update", ("state", "loss"))):
            function = getattr(setting, name)
            if not _takes(function, *arguments):
                raise TypeError(
                    f"`loss_average.{name}` must be a function that is called as "
                    f"`{name}({', '.join(arguments)})`, got {shown(function)}."
                )
        return setting
    if any(each.__name__ == "LossAverage" for each in type(setting).__mro__):
        raise TypeError(
            "`loss_average` is a LossAverage of another copy of the module, which was "
            "reloaded, or imported twice: make it anew, or restart Python."
        )
    try:
        return ema_average(setting)
    except (TypeError, ValueError) as error:
        hint = scheduling_hint(setting)
        is_number = isinstance(setting, numbers.Real)
        if is_number and abs(setting) < 1 <= np.float32(setting):
            hint = " float32 rounds it to 1."
        for average in (ema_average, epoch_average, median_average):
            if setting is average:
                hint = f" Call it: `{average.__name__}(...)`."
        raise type(error)(
            "`loss_average` must be a LossAverage, such as `ema_average(0.9)` or "
            "`epoch_average(391)`, or a number in [0, 1), the decay of an "
            f"`ema_average`; got {shown(setting)}.{hint}"
        ) from None


def _takes(function: Any, *arguments: str) -> bool:
    """Whether it can be called with these arguments by position."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a function of C without a signature
        return callable(function)
    return True


class _Named(LossAverage):
    """A `LossAverage` shown as the call that made it: `help` prints it as a default."""

    call: str

    def __repr__(self) -> str:
        return self.call


def _named(
    call: str,
    init_fn: Callable[[], Any],
    update_fn: Callable[[Any, jax.Array], tuple[jax.Array, Any]],
) -> LossAverage:
    average = _Named(init_fn, update_fn)
    average.call = call
    return average


def _mean_with(loss: jax.Array, mean: jax.Array, weight: jax.Array) -> jax.Array:
    """The mean after `loss` joins with weight 1, the weights then summing to `weight`.

    The phase hangs on an exact tie: a loss equal to its average is *not* below it. In
    this incremental form a constant loss equals its average to the last bit, and so
    does a loss alone in the average (`weight == 1`: the first one, or a new epoch's).
    The textbook form of a bias-corrected average, `ema / (1 - decay**count)`, is off
    by an ulp or two in both cases, and would open low-loss phases at random.
    """
    return jnp.where(weight == 1, loss, mean + (loss - mean) / weight)
