"""The optimizers of the program, and their learning rates.

Arms of a comparison are data, not code: SGD is LCAM with equal coefficients, and every
number enters the compiled step as a traced scalar. All arms with the same `Method`
share one compilation. The rates of all steps are worked out before a run.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lcam_optax
from train.engine import factories
from train.engine.factories import Factory
from train.settings.optimizer import SIGNALS, Optimizer, Schedule


class Method(NamedTuple):
    """What about an optimizer is code. Hashable."""

    epoch_average: bool  # whether the loss is compared with this epoch's mean
    # What decides the phase, as `value`: the loss of the batch; that of a fixed batch;
    # that of the batch less what was remembered of its examples; or a number of [0, 1),
    # which is below `low_loss_share` for the low-loss phase.
    signal: Literal["loss", "fixed", "examples", "noise"]
    lagged: bool  # whether a comparison acts on the next step
    nesterov: bool
    clips: bool
    factory: Factory | None = None  # of another optimizer than SGD and LCAM


class Hyperparameters(NamedTuple):
    """What about an optimizer is data: float32 scalars, and one int32."""

    weight_decay: jax.Array
    high_loss_momentum: jax.Array  # in [0, 1); SGD's momentum
    low_loss_momentum: jax.Array  # the same
    ema_decay: jax.Array  # of the loss average, in [0, 1)
    margin: jax.Array  # dead band around the average, relative
    low_loss_share: jax.Array  # of the steps, where chance decides, in [0, 1)
    clip_norm: jax.Array
    numbers: tuple[jax.Array, ...]  # of `Factory.numbers`
    by_phase: tuple[tuple[jax.Array, jax.Array], ...]  # at high and at low loss
    steps_per_epoch: jax.Array  # int32, at least 1


def method_of(config: Optimizer) -> Method:
    """What about an optimizer's options is code."""
    factory = None if config.is_lcam else factories.describe(config)[0]
    return Method(
        epoch_average=config.loss_average == "epoch",
        signal=config.phase if config.phase in SIGNALS else "noise",
        lagged=config.lagged,
        nesterov=config.nesterov,
        clips=config.clip_norm is not None,
        factory=factory,
    )


def hyperparameters_of(config: Optimizer, steps_per_epoch: int) -> Hyperparameters:
    """What about an optimizer's options is data."""
    high, low = config.high_loss_momentum, config.low_loss_momentum
    if config.optimizer == "sgd":
        high = low = config.momentum
    numbers, pairs = ((), ()) if config.is_lcam else factories.describe(config)[1:]
    return Hyperparameters(
        weight_decay=jnp.float32(config.weight_decay or 0),
        high_loss_momentum=jnp.float32(high),
        low_loss_momentum=jnp.float32(low),
        ema_decay=jnp.float32(config.ema_decay),
        margin=jnp.float32(config.margin),
        low_loss_share=jnp.float32(config.low_loss_share),
        clip_norm=jnp.float32(config.clip_norm or 0),
        numbers=tuple(map(jnp.float32, numbers)),
        by_phase=tuple((jnp.float32(high), jnp.float32(low)) for high, low in pairs),
        steps_per_epoch=jnp.int32(steps_per_epoch),
    )


def make_optimizer(
    method: Method, numbers: Hyperparameters, learning_rate: jax.Array
) -> optax.GradientTransformationExtraArgs:
    """Builds the transformation, inside the compiled step: its numbers are traced."""
    phase_options = {
        "loss_average": make_loss_average(method, numbers),
        "margin": numbers.margin,
        "lagged": method.lagged,
    }
    if method.factory is None:
        coefficients = numbers.high_loss_momentum, numbers.low_loss_momentum
        options = {"nesterov": method.nesterov, **phase_options}
        made = optax.chain(
            optax.add_decayed_weights(numbers.weight_decay),
            lcam_optax.lcam(learning_rate, *coefficients, **options),
        )
    else:
        made = factories.make(
            method.factory,
            numbers.numbers,
            numbers.by_phase,
            learning_rate,
            phase_options,
        )
    if method.clips:
        return optax.chain(optax.clip_by_global_norm(numbers.clip_norm), made)
    return made


def make_loss_average(
    method: Method, numbers: Hyperparameters
) -> lcam_optax.LossAverage:
    """Builds what the loss, or noise in its place, is compared with."""
    if method.signal == "noise":
        # Noise below a constant: LCAM itself needs no change.
        return lcam_optax.LossAverage(
            init=lambda: (), update=lambda state, _: (numbers.low_loss_share, state)
        )
    if method.epoch_average:
        return lcam_optax.epoch_average(numbers.steps_per_epoch)
    return lcam_optax.ema_average(numbers.ema_decay)


def any_hyperparameters(method: Method) -> Hyperparameters:
    """Some numbers, for an initial state: its structure does not depend on them."""
    scalars = [jnp.float32(0)] * (len(Hyperparameters._fields) - 3)
    own = factories.zeros(method.factory) if method.factory else ((), ())
    return Hyperparameters(*scalars, *own, jnp.int32(1))


def seen_in(method: Method, opt_state: optax.OptState) -> dict[str, jax.Array]:
    """`average_loss`, `phase` and `momentum`, as far as an optimizer has them.

    The momentum is that of SGD and LCAM. Of another optimizer it is the first number
    that the phase picks. All that the phase picks has the same phase.
    """
    names = {"average_loss": "average_loss", "phase": "phase", "momentum": "momentum"}
    if method.factory is not None:
        if not method.factory.by_phase:
            return {}
        names["momentum"] = method.factory.by_phase[0]
    found = {}
    for shown, name in names.items():
        numbers = optax.tree.get_all_with_path(
            opt_state, name, filtering=lambda _, leaf: isinstance(leaf, jax.Array)
        )
        found[shown] = numbers[0][1]
    return found


def tested_weights(opt_state: optax.OptState, weights: Any) -> Any:
    """The weights to test with: those of training, but for schedule-free optimizers."""
    kind = optax.contrib.ScheduleFreeState
    states = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kind))
    for state in states:
        if isinstance(state, kind):
            return optax.contrib.schedule_free_eval_params(state, weights)
    return weights


def learning_rates(
    config: Schedule, peak: float, *, epochs: int, steps_per_epoch: int
) -> np.ndarray:
    """The learning rates of a run, float32 [epochs, steps_per_epoch]."""
    num_steps = epochs * steps_per_epoch
    # In float64: 0.99985, rounded to float32, is off by 0.1 % after 100 epochs' powers.
    with jax.enable_x64(True):
        match config.schedule:
            case "constant":
                schedule = optax.constant_schedule(peak)
            case "step":
                factor = config.milestone_factor
                drops = {epoch * steps_per_epoch: factor for epoch in config.milestones}
                schedule = optax.piecewise_constant_schedule(peak, drops)
            case "exponential":
                schedule = optax.exponential_decay(
                    peak,
                    transition_steps=1,
                    decay_rate=config.exponential_rate,
                    transition_begin=config.exponential_after * steps_per_epoch,
                )
            case "cosine":
                schedule = optax.cosine_decay_schedule(peak, num_steps)
        steps = jnp.arange(num_steps)
        # The authors multiply before the step (py_Figure5_Cifar10&Cifar100.py:137): the
        # first one after `exponential_after` epochs has a smaller rate already.
        rates = jax.vmap(schedule)(steps + (config.schedule == "exponential"))
        # Warm-up multiplies: milestones keep the epochs they are given for.
        warmup_steps = max(config.warmup_epochs * steps_per_epoch, 1)
        rates = rates * jnp.minimum(1.0, (steps + 1) / warmup_steps)
        return np.asarray(rates, np.float32).reshape(epochs, steps_per_epoch)
