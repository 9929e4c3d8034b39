"""Loss-Controlled Asymmetric Momentum: momentum SGD steered by the loss.

Zhang et al., "Asymmetric Momentum: A Rethinking of Gradient Descent", 2023,
https://arxiv.org/abs/2309.02130.
"""

from __future__ import annotations  # short signatures in `help`

import math
import numbers
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from ._checks import (
    check_dtype,
    check_flag,
    check_number_or_schedule,
    check_state,
)
from ._loss_average import LossAverage, as_loss_average
from ._schedule import DEFAULT_AVERAGE, LossPhaseSchedule
from ._states import ScaleByLcamState


def scale_by_lcam(
    high_loss_momentum: optax.ScalarOrSchedule = 0.9,
    low_loss_momentum: optax.ScalarOrSchedule = 0.93,
    *,
    loss_average: LossAverage | ArrayLike = DEFAULT_AVERAGE,
    margin: ArrayLike = 0.0,
    lagged: bool = False,
    nesterov: bool = False,
    accumulator_dtype: Any | None = None,
    axis_name: Hashable | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Accumulates gradients with a momentum that depends on the loss.

    The core of `lcam`, without the learning rate and its sign: use it to build a
    chain of your own. See `lcam` for the equations, every argument and the errors.

    Returns:
      An `optax.GradientTransformationExtraArgs` whose `update` needs `value`.

    Example:
      >>> import jax.numpy as jnp, lcam_optax, optax
      >>> optimizer = optax.chain(
      ...     lcam_optax.scale_by_lcam(0.9, 0.95), optax.scale_by_learning_rate(0.1)
      ... )
      >>> params = jnp.zeros(2)
      >>> opt_state = optimizer.init(params)
      >>> for loss in [2.0, 1.0]:
      ...     updates, opt_state = optimizer.update(
      ...         jnp.ones(2), opt_state, params, value=loss
      ...     )
      ...     print(f"{updates[0]:.3f}")
      -0.100
      -0.195
    """
    check_number_or_schedule("high_loss_momentum", high_loss_momentum, 0, 1)
    check_number_or_schedule("low_loss_momentum", low_loss_momentum, 0, 1)
    schedule = LossPhaseSchedule(
        high_loss_momentum,
        low_loss_momentum,
        as_loss_average(loss_average),
        margin,
        lagged,
        axis_name,
    )
    check_flag("nesterov", nesterov)
    if accumulator_dtype is not None:
        accumulator_dtype = check_dtype("accumulator_dtype", accumulator_dtype)

    def init_fn(params: optax.Params) -> ScaleByLcamState:
        return ScaleByLcamState(
            **schedule.init()._asdict(),
            trace=optax.tree.zeros_like(params, dtype=accumulator_dtype),
            momentum=jnp.zeros((), jnp.float32),
        )

    # Where the authors' code differs from Optax's habits (the rest is told at
    # `LossPhaseSchedule`):
    #
    # - Weight decay. Upstream's is torch's: L2, added to the gradient before the
    #   trace. Optax composes: chain `optax.add_decayed_weights` before this.
    # - The first step. torch starts the trace at the first gradient, Optax at zero and
    #   adds the gradient: the same trace.
    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        # Required in truth: the default only lets `check_loss` say what to pass,
        # where Python would name a missing argument and nothing more.
        value: ArrayLike | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ScaleByLcamState]:
        del params
        state = check_state(
            state,
            ScaleByLcamState,
            "The order of arguments is `update(updates, state, params)`.",
        )
        # Loss monitor, phase detector and momentum scheduler. What comes of them is a
        # scalar: a `where` on the trees would cost more and gain nothing, and a
        # `lax.cond` over them copies them.
        momentum, monitored = schedule.step(state, value, extra_args)

        # SGD core: `optax.trace` with this momentum for its decay.
        def accumulate(gradient: jax.Array, trace: jax.Array) -> jax.Array:
            return gradient + _like_a_number(momentum, trace.dtype) * trace

        trace = jax.tree.map(
            lambda g, t: None if g is None else accumulate(g, t),
            updates,
            state.trace,
            is_leaf=lambda g: g is None,
        )
        updates = jax.tree.map(accumulate, updates, trace) if nesterov else trace

        return updates, ScaleByLcamState(
            **monitored._asdict(),
            trace=optax.tree.cast(trace, accumulator_dtype),
            momentum=momentum.astype(jnp.float32),
        )

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def lcam(
    learning_rate: optax.ScalarOrSchedule,
    high_loss_momentum: optax.ScalarOrSchedule = 0.9,
    low_loss_momentum: optax.ScalarOrSchedule = 0.93,
    *,
    loss_average: LossAverage | ArrayLike = DEFAULT_AVERAGE,
    margin: ArrayLike = 0.0,
    lagged: bool = False,
    nesterov: bool = False,
    accumulator_dtype: Any | None = None,
    axis_name: Hashable | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Loss-Controlled Asymmetric Momentum (LCAM).

    Momentum SGD that picks its momentum coefficient each step by comparing the loss
    with its running average. It replaces `optax.sgd(learning_rate, momentum)`, with
    one obligation: every `update` needs the loss of the batch, `value=loss`.

    A step has the loss `value`, and `updates` are its gradients::

        average  = loss_average of the losses so far, this one included
        momentum = low_loss_momentum if loss < average, else high_loss_momentum
        trace    = momentum * trace + gradient
        params   = params - learning_rate * trace

    With equal coefficients it is `optax.sgd` bit for bit.

    Every number may be traced, so `optax.inject_hyperparams` works; only Python
    numbers have their range checked. A `value` that is not finite, or that would make
    the average infinite, changes neither average nor phase, and the step is taken with
    that phase's coefficient.

    When not to use it: where there is no scalar loss to hand, or where it jumps for
    reasons that have nothing to do with progress (several tasks in turn, curricula).
    A larger coefficient also lengthens the steps, by `1 / (1 - momentum)`: compare
    with a fixed momentum of equal effective step before crediting the switching.

    Args:
      learning_rate: global factor of the update, a float or a schedule of the count of
        update calls. As with `optax.sgd` it may be negative, to climb.
      high_loss_momentum: coefficient while the loss is not below its average, in
        [0, 1), a float or a schedule. The authors use 0.9.
      low_loss_momentum: coefficient while the loss is below its average, in [0, 1), a
        float or a schedule. The default is the authors' headline run, 0.93; their
        CIFAR-10 figures use 0.95.
      loss_average: what the loss is compared with: `ema_average(decay)`, or just the
        decay; `median_average(window)`, which forgets a spike at once;
        `epoch_average(steps_per_epoch)`, the authors'; or a `LossAverage` of your own.
      margin: relative dead band, at least 0: the phase turns low below
        `average - margin * abs(average)`, high at or above
        `average + margin * abs(average)`, and stays as it was in between.
      lagged: whether a comparison acts on the next step instead of this one (the
        authors' timing). The first step then has the high-loss coefficient.
      nesterov: whether to use Nesterov momentum, as in `optax.sgd`.
      accumulator_dtype: dtype of the trace, as in `optax.sgd`; `None` takes the
        parameters'. The loss statistics are float32 whatever the parameters are, under
        x64 too. Losses that float32 cannot tell apart, such as 1e6 and 1e6 + 0.01, are
        equal to it. Pass `value=loss - first_loss` then: with `margin=0` only
        differences count. float32 holds magnitudes of about 1e-37 to 1e38. Smaller
        losses count as 0 and larger ones as infinite, so where all are beyond, all
        steps are high-loss: pass `value=scale * loss`.
      axis_name: mapped axis, or axes, over which `value` is averaged first, so that
        replicas under `shard_map`, `pmap` or `vmap(axis_name=...)` that see different
        losses agree on the phase. The gradients are yours to average, and `shard_map`
        may have summed them already: see "Replicas" in docs/recipes.md.

    Returns:
      An `optax.GradientTransformationExtraArgs`. Its
      `update(updates, state, params=None, *, value)` takes `value`, the scalar loss of
      this batch, a real number of any dtype. It raises `TypeError` when `value` is
      missing or not real, `ValueError` when it is not a scalar, both while tracing.
      Its state holds a `ScaleByLcamState`; `optax.tree.get(opt_state, "phase")` is the
      `Phase` of the last step.

    Raises:
      ValueError: a coefficient, or the decay, is a Python number outside [0, 1),
        `margin` a negative or infinite one, or `learning_rate` not a finite one.
      TypeError: an argument is of the wrong type.

    Example:
      >>> import jax, jax.numpy as jnp, lcam_optax, optax
      >>> optimizer = lcam_optax.lcam(0.1, high_loss_momentum=0.0,
      ...                             low_loss_momentum=0.9)
      >>> loss_fn = lambda x: 0.5 * x**2
      >>> x = jnp.array(1.0)
      >>> opt_state = optimizer.init(x)
      >>> for _ in range(4):
      ...     loss, grad = jax.value_and_grad(loss_fn)(x)
      ...     updates, opt_state = optimizer.update(grad, opt_state, x, value=loss)
      ...     x = optax.apply_updates(x, updates)
      ...     momentum = optax.tree.get(opt_state, "momentum")
      ...     print(f"loss {loss:.4f}  momentum {momentum:.1f}  x {x:.4f}")
      loss 0.5000  momentum 0.0  x 0.9000
      loss 0.4050  momentum 0.9  x 0.7200
      loss 0.2592  momentum 0.9  x 0.4860
      loss 0.1181  momentum 0.9  x 0.2268

    References:
      Zhang et al., `Asymmetric Momentum: A Rethinking of Gradient Descent
      <https://arxiv.org/abs/2309.02130>`_, 2023. The authors' code:
      https://github.com/hakumaicc/Asymmetric-Momentum-LCAM

    .. note::
      Under `optax.MultiSteps` only the last micro-batch's `value` reaches the
      optimizer: pass the mean of the micro-batches' losses with the last one.
    """
    check_number_or_schedule("learning_rate", learning_rate, -math.inf, math.inf)
    # Optax negates it, which integers may not survive.
    if isinstance(learning_rate, numbers.Integral):
        learning_rate = float(learning_rate)
    elif not callable(learning_rate) and jnp.issubdtype(
        jnp.result_type(learning_rate), jnp.unsignedinteger
    ):
        learning_rate = jnp.asarray(learning_rate, jnp.float32)
    return optax.chain(
        scale_by_lcam(
            high_loss_momentum,
            low_loss_momentum,
            loss_average=loss_average,
            margin=margin,
            lagged=lagged,
            nesterov=nesterov,
            accumulator_dtype=accumulator_dtype,
            axis_name=axis_name,
        ),
        optax.scale_by_learning_rate(learning_rate),
    )


def _like_a_number(scalar: jax.Array, dtype: Any) -> jax.Array:
    """Lets a scalar meet an array of `dtype` as the Python float in its place would.

    The array's dtype wins, whatever the scalar's. A weakly typed scalar does so by
    itself, and must not be cast: weakly typed parameters would lose their weak type,
    and the second step compile anew. For integers a float wins, as with `optax.trace`.
    """
    if scalar.weak_type or not jnp.issubdtype(dtype, jnp.inexact):
        return scalar
    return scalar.astype(dtype)
