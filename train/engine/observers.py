"""Observers measure more of a training step than its metrics.

An observer carries sums through the epoch on the device and sends only their summary
to the host, once an epoch. Watching changes no weight.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import lcam_optax
from train.engine.optimizers import (
    Hyperparameters,
    Method,
    any_hyperparameters,
    make_loss_average,
)

# Share of the parameters that count as fast, and as slow.
GROUP = 0.1


class Step(NamedTuple):
    """What an observer sees of a step."""

    first: jax.Array  # whether it is the first of its epoch
    learning_rate: jax.Array
    loss: jax.Array  # of the batch
    # On the first test batch, with the weights that the step started from.
    held_out_loss: Callable[[], jax.Array]
    fixed_loss: Callable[[], jax.Array]  # the same on the fixed training batch
    grads: Any  # of the loss, without weight decay
    updates: Any  # what is added to the weights
    old_state: optax.OptState  # of the optimizer, before the step
    new_state: optax.OptState  # of the optimizer, after it
    hyperparameters: Hyperparameters


class Observer(NamedTuple):
    """Three pure functions that measure training steps."""

    init: Callable[[Any], Any]  # of the weights
    update: Callable[[Any, Step], Any]
    summarize: Callable[[Any], dict[str, jax.Array]]  # of the epoch so far


def make_observer(name: str, method: Method) -> Observer:
    """Makes `nothing`, `held_out`, `fixed` or `mechanism`."""
    return {
        "nothing": lambda: Observer(lambda _: (), lambda seen, _: seen, lambda _: {}),
        "held_out": lambda: _misread("held_out", method),
        "fixed": lambda: _misread("fixed", method),
        "mechanism": _mechanism,
    }[name]()


def _misread(truth: str, method: Method) -> Observer:
    """Counts how often the phase is that of another loss: `held_out` or `fixed`.

    That loss is compared with its own average, by the same rule as the batch's.
    """

    def detector(numbers: Hyperparameters) -> optax.GradientTransformationExtraArgs:
        average = make_loss_average(method, numbers)
        return lcam_optax.scale_by_lcam(
            0.0, 0.0, loss_average=average, margin=numbers.margin
        )

    def init(_: Any) -> Any:
        return detector(any_hyperparameters(method)).init({}), jnp.zeros(
            (2, 2), jnp.float32
        )

    def update(observed: Any, step: Step) -> Any:
        state, counts = observed
        counts = jnp.where(step.first, 0.0, counts)
        loss = step.held_out_loss if truth == "held_out" else step.fixed_loss
        _, state = detector(step.hyperparameters).update({}, state, value=loss())
        true = optax.tree.get(state, "phase")
        seen = optax.tree.get(step.new_state, "phase")
        return state, counts.at[true, seen].add(1.0)

    def summarize(observed: Any) -> dict[str, jax.Array]:
        shares = observed[1] / jnp.sum(observed[1])
        true, seen = jnp.sum(shares, axis=1), jnp.sum(shares, axis=0)
        return {
            "misread": shares[0, 1] + shares[1, 0],
            # What phases with these shares, and nothing in common, would come to.
            "misread_by_chance": true[0] * seen[1] + true[1] * seen[0],
            f"{truth}_low_loss_share": true[1],
        }

    return Observer(init, update, summarize)


class _Sums(NamedTuple):
    """Sums over an epoch's steps; [2] is the phase, [arrays] the network's arrays."""

    steps: jax.Array  # [2]
    norms: jax.Array  # [2, 3]: gradient, update, cosine of gradient and trace
    deviation: jax.Array  # of the loss from its average, relative: sum, sum of squares
    update_norms: jax.Array  # [arrays, 2, 2]: sum and sum of squares, in each phase
    products: jax.Array  # [arrays]: deviation times the array's update norm
    speed: Any  # [2, ...]: sum of |update| of every parameter in each phase


def _mechanism() -> Observer:
    """Gradient, update and their direction in each phase.

    Updates are taken relative to the learning rate, whose schedule would else be seen
    as a difference of the phases.
    """

    def init(params: Any) -> Any:
        arrays = len(jax.tree.leaves(params))
        sums = _Sums(
            steps=jnp.zeros(2),
            norms=jnp.zeros((2, 3)),
            deviation=jnp.zeros(2),
            update_norms=jnp.zeros((arrays, 2, 2)),
            products=jnp.zeros(arrays),
            speed=jax.tree.map(lambda p: jnp.zeros((2, *p.shape)), params),
        )
        return sums, jax.tree.map(jnp.zeros_like, params)

    def update(observed: Any, step: Step) -> Any:
        sums, last_speed = observed
        # The groups of an epoch are made by the speeds of the one before.
        last_speed = jax.tree.map(
            lambda last, speed: jnp.where(step.first, jnp.sum(speed, axis=0), last),
            last_speed,
            sums.speed,
        )
        sums = jax.tree.map(lambda x: jnp.where(step.first, 0.0, x), sums)
        phase = optax.tree.get(step.new_state, "phase")
        average = optax.tree.get(step.new_state, "average_loss")
        trace = optax.tree.get(step.old_state, "trace")
        deviation = step.loss / average - 1
        scale = 1 / jnp.maximum(step.learning_rate, 1e-30)
        updates = jax.tree.map(lambda u: scale * u, step.updates)
        norm, update_norm = optax.tree.norm(step.grads), optax.tree.norm(updates)
        lengths = norm * optax.tree.norm(trace)
        cosine = optax.tree.vdot(step.grads, trace) / jnp.where(lengths > 0, lengths, 1)
        each = jnp.stack([jnp.linalg.norm(u.ravel()) for u in jax.tree.leaves(updates)])
        chosen = jax.nn.one_hot(phase, 2)
        squares = jnp.stack([each, each**2], axis=1)
        sums = _Sums(
            steps=sums.steps.at[phase].add(1.0),
            norms=sums.norms.at[phase].add(jnp.stack([norm, update_norm, cosine])),
            deviation=sums.deviation + jnp.stack([deviation, deviation**2]),
            update_norms=sums.update_norms.at[:, phase].add(squares),
            products=sums.products + deviation * each,
            speed=jax.tree.map(
                lambda total, u: total + jnp.multiply.outer(chosen, jnp.abs(u)),
                sums.speed,
                updates,
            ),
        )
        return sums, last_speed

    def summarize(observed: Any) -> dict[str, jax.Array]:
        sums, last_speed = observed
        steps = jnp.sum(sums.steps)
        per_phase = sums.norms / sums.steps.reshape(2, 1)
        means = sums.update_norms[:, :, 0] / sums.steps.reshape(1, 2)
        # Pearson's correlation of the loss's deviation with each array's update norm.
        x, xx = sums.deviation / steps
        y, yy = jnp.sum(sums.update_norms, axis=1).T / steps
        spread = jnp.sqrt((xx - x**2) * (yy - y**2))
        speeds = jnp.concatenate(
            [speed.reshape(2, -1) for speed in jax.tree.leaves(sums.speed)], axis=1
        ) / sums.steps.reshape(2, 1)
        last = jnp.concatenate([x.ravel() for x in jax.tree.leaves(last_speed)])
        fast = last >= jnp.quantile(last, 1 - GROUP)
        slow = last <= jnp.quantile(last, GROUP)
        return {
            "steps": sums.steps,
            "grad_norm": per_phase[:, 0],
            "update_norm": per_phase[:, 1],
            "cosine": per_phase[:, 2],
            "array_update_ratio": means[:, 1] / means[:, 0],
            "array_correlation": (sums.products / steps - x * y) / spread,
            "fast_speed": jnp.mean(speeds, axis=1, where=fast),
            "slow_speed": jnp.mean(speeds, axis=1, where=slow),
        }

    return Observer(init, update, summarize)
