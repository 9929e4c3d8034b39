import math

import chex
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train.engine.optimizers import (
    hyperparameters_of,
    learning_rates,
    make_optimizer,
    method_of,
)
from train.settings.optimizer import Optimizer, Schedule

GRADIENTS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
LOSSES = [3.0, 2.0, 2.5, 1.0, 4.0, 1.0]


def trajectory(optimizer):
    params = jnp.array([1.0, -2.0, 3.0])
    state = optimizer.init(params)
    rows = []
    for gradient, loss in zip(GRADIENTS, LOSSES, strict=True):
        updates, state = optimizer.update(gradient, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        rows.append(params)
    return rows, state


def built(config, steps_per_epoch=4):
    hyperparameters = hyperparameters_of(config, steps_per_epoch)
    return make_optimizer(
        method_of(config), hyperparameters, jnp.float32(config.learning_rate)
    )


@pytest.mark.parametrize("made", [method_of, lambda o: hyperparameters_of(o, 4)])
def test_optimizer_that_the_engine_does_not_know_is_not_trained_as_another(made):
    with pytest.raises(KeyError, match="lion"):
        made(Optimizer("lion"))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_optax_sgd_behind_weight_decay_bit_for_bit(nesterov):
    config = Optimizer("sgd", momentum=0.8, weight_decay=0.01, nesterov=nesterov)
    expected = optax.with_extra_args_support(
        optax.chain(
            optax.add_decayed_weights(0.01), optax.sgd(0.1, 0.8, nesterov=nesterov)
        )
    )
    chex.assert_trees_all_equal(trajectory(built(config))[0], trajectory(expected)[0])


def test_adamw_is_optax_adamw():
    config = Optimizer("adamw", adam_b1=0.8, adam_b2=0.9, adam_epsilon=1e-3)
    expected = optax.with_extra_args_support(
        optax.adamw(0.001, b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.01)
    )
    # Bias correction with traced decays differs in the last bits.
    chex.assert_trees_all_close(
        trajectory(built(config))[0], trajectory(expected)[0], rtol=1e-5
    )


# Which coefficient each step gets, that of low loss (1) or the other, for losses 3, 2,
# 2.5, 1, 4, 1. Means of an epoch of 4 steps: 3, 2.5, 2.5, 2.125 | 4, 2.5.
PHASES = [
    ({"ema_decay": 0.0}, [0] * 6),  # every loss is its own average
    ({"loss_average": "epoch"}, [0, 1, 0, 1, 0, 1]),
    ({"loss_average": "epoch", "lagged": True}, [0, 0, 1, 0, 1, 0]),
    # 2 and 2.5 are within half of their means, 1 and 4 are not; 3 to begin with is.
    ({"loss_average": "epoch", "margin": 0.5}, [0, 0, 0, 1, 1, 1]),
    # What comes in the place of the loss is compared with the share.
    ({"phase": "chance", "low_loss_share": 0.9}, [0] * 6),
]


@pytest.mark.parametrize(("options", "phases"), PHASES)
def test_adamw_by_phase_is_optax_adamw_with_the_b1_of_each_phase(options, phases):
    config = Optimizer("adamw", high_loss_b1=0.5, low_loss_b1=0.75, **options)
    b1s = jnp.array([0.5, 0.75])[jnp.array(phases)]
    expected = optax.inject_hyperparams(optax.adamw)(
        0.001, b1=lambda count: b1s[count], weight_decay=0.01
    )
    chex.assert_trees_all_close(
        trajectory(built(config))[0], trajectory(expected)[0], rtol=1e-5
    )


@pytest.mark.parametrize(("options", "phases"), PHASES)
def test_lcam_takes_every_option(options, phases):
    config = Optimizer(high_loss_momentum=0.5, low_loss_momentum=0.75, **options)
    optimizer = built(config)
    state, actual = optimizer.init(jnp.zeros(3)), []
    for gradient, loss in zip(GRADIENTS, LOSSES, strict=True):
        _, state = optimizer.update(gradient, state, jnp.zeros(3), value=loss)
        actual.append(optax.tree.get(state, "momentum").item())
    assert actual == [(0.5, 0.75)[phase] for phase in phases]


def test_chance_compares_what_comes_with_the_share():
    config = Optimizer(low_loss_momentum=0.75, phase="chance", low_loss_share=0.4)
    optimizer = built(config)
    state, momenta = optimizer.init(jnp.zeros(3)), []
    for noise in [0.1, 0.39, 0.41, 0.9, 0.0]:
        _, state = optimizer.update(GRADIENTS[0], state, jnp.zeros(3), value=noise)
        momenta.append(optax.tree.get(state, "momentum"))
    np.testing.assert_array_equal(momenta, np.float32([0.75, 0.75, 0.9, 0.9, 0.75]))


def rates(epochs, steps_per_epoch, **options):
    sizes = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    actual = learning_rates(Schedule(**options), 0.1, **sizes)
    assert (actual.shape, actual.dtype) == ((epochs, steps_per_epoch), np.float32)
    return actual.ravel()


def test_constant_schedule_stays():
    np.testing.assert_array_equal(
        rates(2, 2, schedule="constant"), np.float32([0.1] * 4)
    )


def test_step_schedule_drops_after_its_milestones():
    # The authors change the rate at the end of 0-based epoch m - 1: epoch m has it.
    actual = rates(4, 2, schedule="step", milestones=(1, 3), milestone_factor=0.2)
    expected = [0.1, 0.1, 0.02, 0.02, 0.02, 0.02, 0.004, 0.004]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_exponential_schedule_decays_every_step_after_its_epoch():
    actual = rates(
        3, 2, schedule="exponential", exponential_after=1, exponential_rate=0.5
    )
    expected = [0.1, 0.1, 0.05, 0.025, 0.0125, 0.00625]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_cosine_schedule_is_half_a_cosine():
    expected = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    np.testing.assert_allclose(rates(4, 2, schedule="cosine"), expected, rtol=1e-5)


def test_warm_up_rises_linearly_and_keeps_the_milestones():
    actual = rates(
        4, 2, schedule="step", milestones=(3,), milestone_factor=0.5, warmup_epochs=2
    )
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
