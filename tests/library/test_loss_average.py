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


def test_default_decay_is_0_9():
    # Weights 0.9 and 1 of losses 4 and 2.
    np.testing.assert_allclose(
        averages_of(lcam_optax.ema_average(), [4.0, 2.0])[1], 5.6 / 1.9, rtol=1e-6
    )


def test_median_of_a_hand_table():
    # Sorted, of the last three: 2; 2, 100; 2, 3, 100; 1, 3, 100; 1, 1, 3.
    np.testing.assert_array_equal(
        averages_of(lcam_optax.median_average(3), [2.0, 100.0, 3.0, 1.0, 1.0]),
        [2.0, 51.0, 3.0, 3.0, 1.0],
    )


@pytest.mark.parametrize("window", [1, 2, 21, 500])
def test_median_is_numpys_of_the_last_losses(window):
    expected = [
        np.median(NOISY_LOSSES[max(0, end - window) : end])
        for end in range(1, len(NOISY_LOSSES) + 1)
    ]
    np.testing.assert_allclose(
        averages_of(lcam_optax.median_average(window), NOISY_LOSSES),
        expected,
        rtol=1e-6,
    )


def test_default_window_is_21():
    assert lcam_optax.median_average().init().losses.shape == (21,)


@pytest.mark.parametrize("spike", [100.0, 1e8, 3.4e38])
def test_median_forgets_a_spike_at_once(spike):
    losses = NOISY_LOSSES.copy()
    losses[100] = spike
    medians = averages_of(lcam_optax.median_average(), losses)
    assert np.max(medians) < np.max(NOISY_LOSSES)


def test_median_of_two_large_losses_is_finite():
    np.testing.assert_allclose(
        averages_of(lcam_optax.median_average(), [3e38, 3.2e38])[1], 3.1e38, rtol=1e-6
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
    "loss_average",
    [
        lcam_optax.ema_average(0.99),
        lcam_optax.epoch_average(7),
        lcam_optax.median_average(4),
    ],
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


@pytest.mark.parametrize("window", [0, -1, 2**31])
def test_window_out_of_range_is_refused(window):
    with pytest.raises(ValueError, match=rf"`window` must be .* got {window}"):
        lcam_optax.median_average(window)


def test_largest_window_is_taken():
    lcam_optax.median_average(2**31 - 1)  # nothing is allocated before `init`


@pytest.mark.parametrize("window", [21.0, "21", None, True, np.array(3.0)])
def test_window_that_is_no_integer_is_refused(window):
    with pytest.raises(TypeError, match="`window` must be a positive integer"):
        lcam_optax.median_average(window)


@pytest.mark.parametrize("window", [np.int64(3), np.array(3), jnp.int8(3)])
def test_window_may_be_any_integer(window):
    assert lcam_optax.median_average(window).init().losses.shape == (3,)


def test_traced_window_is_refused():
    with pytest.raises(TypeError):
        jax.jit(lambda n: lcam_optax.median_average(n).init())(3)


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
    shown = repr(
        [
            lcam_optax.ema_average(0.5),
            lcam_optax.epoch_average(3),
            lcam_optax.median_average(5),
        ]
    )
    assert shown == "[ema_average(0.5), epoch_average(3), median_average(5)]"
