import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lcam_optax
from tests.library import reference

NOISY_LOSSES = np.random.default_rng(0).normal(2.0, 0.5, 200).astype(np.float32)


def averages_of(loss_average, losses):
    def step(state, loss):
        average, state = loss_average.update(state, loss)
        return state, average

    return jax.lax.scan(step, loss_average.init(), jnp.asarray(losses, jnp.float32))[1]


def test_ema_average_of_a_hand_table():
    # Weights 1, then 1/2, 1, then 1/4, 1/2, 1:
    #   4;  (2 + 1) / 1.5 = 2;  (1 + 0.5 + 3.25) / 1.75 = 4.75 / 1.75.
    np.testing.assert_allclose(
        averages_of(lcam_optax.ema_average(0.5), [4.0, 1.0, 3.25]),
        [4.0, 2.0, 4.75 / 1.75],
        rtol=1e-6,
    )


def test_epoch_average_of_a_hand_table_restarts_every_third_call():
    np.testing.assert_allclose(
        averages_of(lcam_optax.epoch_average(3), [3.0, 1.0, 5.0, 8.0, 6.0]),
        [3.0, 2.0, 3.0, 8.0, 7.0],
        rtol=1e-6,
    )


def test_default_decay_is_0_99():
    # Weights 0.99 and 1 of losses 4 and 2.
    np.testing.assert_allclose(
        averages_of(lcam_optax.ema_average(), [4.0, 2.0])[1], 5.96 / 1.99, rtol=1e-6
    )


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 0.9999])
def test_ema_average_follows_its_definition(decay):
    np.testing.assert_allclose(
        averages_of(lcam_optax.ema_average(decay), NOISY_LOSSES),
        reference.ema_averages(NOISY_LOSSES, decay),
        rtol=1e-5,  # 200 float32 roundings
    )


def test_ema_average_is_optax_ema_with_bias_correction():
    ema = optax.ema(0.99, debias=True)
    state, expected = ema.init(jnp.float32(0)), []
    for loss in NOISY_LOSSES:
        average, state = ema.update(jnp.float32(loss), state)
        expected.append(average)
    np.testing.assert_allclose(
        averages_of(lcam_optax.ema_average(0.99), NOISY_LOSSES), expected, rtol=1e-5
    )


@pytest.mark.parametrize(
    "loss_average", [lcam_optax.ema_average(0.99), lcam_optax.epoch_average(7)]
)
def test_constant_loss_equals_its_average_exactly(loss_average):
    losses = np.full(50, 0.1, np.float32)
    np.testing.assert_array_equal(averages_of(loss_average, losses), losses)


def test_zero_decay_averages_the_last_loss_alone_exactly():
    np.testing.assert_array_equal(
        averages_of(lcam_optax.ema_average(0.0), NOISY_LOSSES), NOISY_LOSSES
    )


def test_epoch_of_one_step_averages_its_loss_alone_exactly():
    np.testing.assert_array_equal(
        averages_of(lcam_optax.epoch_average(1), NOISY_LOSSES), NOISY_LOSSES
    )


def test_decay_may_be_traced():
    def last_average(decay):
        return averages_of(lcam_optax.ema_average(decay), NOISY_LOSSES)[-1]

    np.testing.assert_allclose(jax.jit(last_average)(0.9), last_average(0.9), rtol=1e-6)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan"), np.float32(1)])
def test_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got"):
        lcam_optax.ema_average(decay)


@pytest.mark.parametrize("steps", [0, -1, 2**31])
def test_steps_per_epoch_below_one_is_refused(steps):
    with pytest.raises(ValueError, match=rf"`steps_per_epoch` must be .* got {steps}"):
        lcam_optax.epoch_average(steps)


@pytest.mark.parametrize("steps", [1, 2**31 - 1, np.int64(3), np.uint8(3), jnp.int8(3)])
def test_steps_per_epoch_may_be_any_integer(steps):
    np.testing.assert_array_equal(
        averages_of(lcam_optax.epoch_average(steps), [2.0]), [2.0]
    )


@pytest.mark.parametrize("steps", [np.array([3, 4]), jnp.array([3])])
def test_several_steps_per_epoch_are_refused(steps):
    with pytest.raises(ValueError, match="`steps_per_epoch` must be one positive int"):
        lcam_optax.epoch_average(steps)


@pytest.mark.parametrize("steps", [391.0, "391", None, True, np.array(3.0)])
def test_steps_per_epoch_that_is_no_integer_is_refused(steps):
    with pytest.raises(TypeError, match="`steps_per_epoch` must be a positive integer"):
        lcam_optax.epoch_average(steps)


def test_averages_are_shown_as_the_calls_that_make_them():
    shown = repr([lcam_optax.ema_average(0.5), lcam_optax.epoch_average(3)])
    assert shown == "[ema_average(0.5), epoch_average(3)]"
