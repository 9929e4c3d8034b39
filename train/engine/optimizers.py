"""The optimizers of the program.

Arms of a comparison are data, not code: SGD is LCAM with equal coefficients, and every
number enters the compiled step as a traced scalar. All arms of SGD and LCAM with the
same `Method` share one compilation.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

import lcam_optax
from train.settings.optimizer import SIGNALS, Optimizer


class Method(NamedTuple):
    """What about an optimizer is code. Hashable.

    Attributes:
      adaptive: AdamW instead of LCAM and SGD.
      epoch_average: whether the loss is compared with this epoch's mean.
      signal: what decides the phase, as `value`: "loss", that of the batch; "fixed",
        that of a fixed batch; "examples", that of the batch less what was remembered
        of its examples; "noise", a number of [0, 1), which is below `low_loss_share`
        for the low-loss phase.
      lagged: whether a comparison acts on the next step.
      nesterov: whether the momentum is Nesterov's.
      by_phase: whether the phase picks AdamW's b1; it always picks the momentum of LCAM
        and SGD.
    """

    adaptive: bool
    epoch_average: bool
    signal: Literal["loss", "fixed", "examples", "noise"]
    lagged: bool
    nesterov: bool
    by_phase: bool = True


class Hyperparameters(NamedTuple):
    """What about an optimizer is data: float32 scalars, and one int32.

    Attributes:
      weight_decay: at least 0.
      high_loss_momentum: in [0, 1); SGD's momentum; AdamW's b1.
      low_loss_momentum: in [0, 1); SGD's momentum; AdamW's b1.
      ema_decay: of the loss average, in [0, 1).
      margin: dead band around the average, relative, at least 0.
      low_loss_share: of the steps, where chance decides, in [0, 1).
      adam_b2: AdamW's decay of their squares' mean, in [0, 1).
      adam_epsilon: added to AdamW's denominator, greater than 0.
      steps_per_epoch: int32, at least 1.
    """

    weight_decay: jax.Array
    high_loss_momentum: jax.Array
    low_loss_momentum: jax.Array
    ema_decay: jax.Array
    margin: jax.Array
    low_loss_share: jax.Array
    adam_b2: jax.Array
    adam_epsilon: jax.Array
    steps_per_epoch: jax.Array


def method_of(config: Optimizer) -> Method:
    """What about an optimizer's options is code.

    Raises:
      KeyError: the engine does not know the optimizer.
    """
    return Method(
        adaptive={"sgd": False, "lcam": False, "adamw": True}[config.optimizer],
        epoch_average=config.loss_average == "epoch",
        signal=config.phase if config.phase in SIGNALS else "noise",
        lagged=config.lagged,
        nesterov=config.nesterov,
        by_phase=config.by_phase or config.optimizer == "sgd",
    )


def hyperparameters_of(config: Optimizer, steps_per_epoch: int) -> Hyperparameters:
    """What about an optimizer's options is data.

    Raises:
      KeyError: the engine does not know the optimizer.
    """
    high, low = {
        "sgd": (config.momentum, config.momentum),
        "lcam": (config.high_loss_momentum, config.low_loss_momentum),
        "adamw": (config.high_loss_b1, config.low_loss_b1)
        if config.by_phase
        else (config.adam_b1, config.adam_b1),
    }[config.optimizer]
    return Hyperparameters(
        weight_decay=jnp.float32(config.weight_decay),
        high_loss_momentum=jnp.float32(high),
        low_loss_momentum=jnp.float32(low),
        ema_decay=jnp.float32(config.ema_decay),
        margin=jnp.float32(config.margin),
        low_loss_share=jnp.float32(config.low_loss_share),
        adam_b2=jnp.float32(config.adam_b2),
        adam_epsilon=jnp.float32(config.adam_epsilon),
        steps_per_epoch=jnp.int32(steps_per_epoch),
    )


def make_optimizer(
    method: Method, hyperparameters: Hyperparameters, learning_rate: jax.Array
) -> optax.GradientTransformationExtraArgs:
    """Builds the transformation, inside the compiled step: its numbers are traced."""
    coefficients = (
        hyperparameters.high_loss_momentum,
        hyperparameters.low_loss_momentum,
    )
    phase_options = {
        "loss_average": make_loss_average(method, hyperparameters),
        "margin": hyperparameters.margin,
        "lagged": method.lagged,
    }
    if not method.adaptive:
        return optax.chain(
            optax.add_decayed_weights(hyperparameters.weight_decay),
            lcam_optax.lcam(
                learning_rate,
                *coefficients,
                nesterov=method.nesterov,
                **phase_options,
            ),
        )

    def adamw(momentum: jax.Array) -> optax.GradientTransformation:
        # `inject_hyperparams` keeps what it is given in the state: the momentum only.
        return optax.adamw(
            learning_rate,
            b1=momentum,
            b2=hyperparameters.adam_b2,
            eps=hyperparameters.adam_epsilon,
            weight_decay=hyperparameters.weight_decay,
        )

    if not method.by_phase:
        return optax.with_extra_args_support(adamw(hyperparameters.high_loss_momentum))
    return optax.inject_hyperparams(adamw)(
        lcam_optax.loss_phase_schedule(*coefficients, **phase_options)
    )


def make_loss_average(
    method: Method, hyperparameters: Hyperparameters
) -> lcam_optax.LossAverage:
    """Builds what the loss, or noise in its place, is compared with."""
    if method.signal == "noise":
        # Noise below a constant: LCAM itself needs no change.
        return lcam_optax.LossAverage(
            init=lambda: (),
            update=lambda state, _: (hyperparameters.low_loss_share, state),
        )
    if method.epoch_average:
        return lcam_optax.epoch_average(hyperparameters.steps_per_epoch)
    return lcam_optax.ema_average(hyperparameters.ema_decay)


def any_hyperparameters() -> Hyperparameters:
    """Some numbers, for an initial state: its structure does not depend on them."""
    numbers = Hyperparameters(*[jnp.float32(0)] * len(Hyperparameters._fields))
    return numbers._replace(steps_per_epoch=jnp.int32(1))
