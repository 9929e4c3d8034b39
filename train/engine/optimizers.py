"""The optimizers of the program, and their learning rates.

Arms of a comparison are data, not code: SGD is LCAM with equal coefficients, and every
number enters the compiled step as a traced scalar. All arms of SGD and LCAM with the
same `Method` share one compilation. The rates of all steps are worked out before a run.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lcam_optax
from train.settings.optimizer import SIGNALS, Optimizer, Schedule


class Method(NamedTuple):
    """What about an optimizer is code. Hashable."""

    adaptive: bool  # AdamW instead of LCAM and SGD
    epoch_average: bool  # whether the loss is compared with this epoch's mean
    # What decides the phase, as `value`: the loss of the batch; that of a fixed batch;
    # that of the batch less what was remembered of its examples; or a number of [0, 1),
    # which is below `low_loss_share` for the low-loss phase.
    signal: Literal["loss", "fixed", "examples", "noise"]
    lagged: bool  # whether a comparison acts on the next step
    nesterov: bool
    # Whether the phase picks AdamW's b1; it always picks the momentum of LCAM and SGD.
    by_phase: bool = True


class Hyperparameters(NamedTuple):
    """What about an optimizer is data: float32 scalars, and one int32."""

    weight_decay: jax.Array
    high_loss_momentum: jax.Array  # in [0, 1); SGD's momentum; AdamW's b1
    low_loss_momentum: jax.Array  # the same
    ema_decay: jax.Array  # of the loss average, in [0, 1)
    margin: jax.Array  # dead band around the average, relative
    low_loss_share: jax.Array  # of the steps, where chance decides, in [0, 1)
    adam_b2: jax.Array
    adam_epsilon: jax.Array
    steps_per_epoch: jax.Array  # int32, at least 1


def method_of(config: Optimizer) -> Method:
    """What about an optimizer's options is code; KeyError if it is not known here."""
    return Method(
        adaptive={"sgd": False, "lcam": False, "adamw": True}[config.optimizer],
        epoch_average=config.loss_average == "epoch",
        signal=config.phase if config.phase in SIGNALS else "noise",
        lagged=config.lagged,
        nesterov=config.nesterov,
        by_phase=config.by_phase or config.optimizer == "sgd",
    )


def hyperparameters_of(config: Optimizer, steps_per_epoch: int) -> Hyperparameters:
    """What about an optimizer's options is data; KeyError if it is not known here."""
    high, low = {
        "sgd": (config.momentum, config.momentum),
        "lcam": (config.high_loss_momentum, config.low_loss_momentum),
        "adamw": (config.high_loss_b1, config.low_loss_b1)
        if config.by_phase
        else (config.adam_b1, config.adam_b1),
    }[config.optimizer]
    numbers = vars(config) | {"high_loss_momentum": high, "low_loss_momentum": low}
    scalars = [jnp.float32(numbers[name]) for name in Hyperparameters._fields[:-1]]
    return Hyperparameters(*scalars, jnp.int32(steps_per_epoch))


def make_optimizer(
    method: Method, numbers: Hyperparameters, learning_rate: jax.Array
) -> optax.GradientTransformationExtraArgs:
    """Builds the transformation, inside the compiled step: its numbers are traced."""
    coefficients = numbers.high_loss_momentum, numbers.low_loss_momentum
    phase_options = {
        "loss_average": make_loss_average(method, numbers),
        "margin": numbers.margin,
        "lagged": method.lagged,
    }
    if not method.adaptive:
        options = {"nesterov": method.nesterov, **phase_options}
        return optax.chain(
            optax.add_decayed_weights(numbers.weight_decay),
            lcam_optax.lcam(learning_rate, *coefficients, **options),
        )

    def adamw(momentum: jax.Array) -> optax.GradientTransformation:
        # `inject_hyperparams` keeps what it is given in the state: the momentum only.
        return optax.adamw(
            learning_rate,
            b1=momentum,
            b2=numbers.adam_b2,
            eps=numbers.adam_epsilon,
            weight_decay=numbers.weight_decay,
        )

    if not method.by_phase:
        return optax.with_extra_args_support(adamw(numbers.high_loss_momentum))
    return optax.inject_hyperparams(adamw)(
        lcam_optax.loss_phase_schedule(*coefficients, **phase_options)
    )


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


def any_hyperparameters() -> Hyperparameters:
    """Some numbers, for an initial state: its structure does not depend on them."""
    numbers = Hyperparameters(*[jnp.float32(0)] * len(Hyperparameters._fields))
    return numbers._replace(steps_per_epoch=jnp.int32(1))


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
