"""Any losses, any settings: the transformation against the NumPy reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import lcam_optax
from tests.library import reference

NUM_STEPS = 12

# Exact in float32, and none so near to zero that XLA would flush what comes of it.
finite = st.integers(-(2**24), 2**24).map(lambda number: number / 1024)
losses_ = st.one_of(
    st.lists(finite, min_size=NUM_STEPS, max_size=NUM_STEPS),
    # Few distinct ones: ties, constants, zeros, and losses that are not finite.
    st.lists(
        st.sampled_from([0.0, 1.0, 2.0, -1.0, float("nan"), float("inf")]),
        min_size=NUM_STEPS,
        max_size=NUM_STEPS,
    ),
)
coefficients = st.integers(0, 1023).map(lambda number: number / 1024)


@functools.cache
def compiled(is_epoch, lagged, nesterov, scheduled):
    """One compilation for each setting that is code; the numbers are traced."""

    def trajectory(losses, gradients, low, high, margin, decay, steps_per_epoch):
        average = (
            lcam_optax.epoch_average(steps_per_epoch)
            if is_epoch
            else lcam_optax.ema_average(decay)
        )
        # A schedule that differs from step to step.
        high_setting = (lambda count: high / (1 + count)) if scheduled else high
        optimizer = lcam_optax.scale_by_lcam(
            high_setting,
            low,
            loss_average=average,
            margin=margin,
            lagged=lagged,
            nesterov=nesterov,
        )

        def step(state, batch):
            gradient, loss = batch
            update, state = optimizer.update(gradient, state, value=loss)
            return state, (update, state)

        _, (updates, states) = jax.lax.scan(
            step, optimizer.init(gradients[0]), (gradients, losses)
        )
        return updates, states

    return jax.jit(trajectory)


@settings(deadline=None, max_examples=100)
@given(
    losses=losses_,
    seed=st.integers(0, 2**32 - 1),
    low=coefficients,
    high=coefficients,
    margin=st.sampled_from([0.0, 0.01, 0.25, 2.0]),
    decay=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    steps_per_epoch=st.integers(1, NUM_STEPS + 2),
    is_epoch=st.booleans(),
    lagged=st.booleans(),
    nesterov=st.booleans(),
    scheduled=st.booleans(),
)
def test_every_step_is_the_references(
    losses,
    seed,
    low,
    high,
    margin,
    decay,
    steps_per_epoch,
    is_epoch,
    lagged,
    nesterov,
    scheduled,
):
    gradients = np.random.default_rng(seed).normal(size=(NUM_STEPS, 2))
    gradients = gradients.astype(np.float32)
    updates, states = compiled(is_epoch, lagged, nesterov, scheduled)(
        jnp.asarray(losses, jnp.float32),
        gradients,
        *map(jnp.float32, (low, high, margin, decay)),
        jnp.int32(steps_per_epoch),
    )
    states = jax.tree.map(np.asarray, states)
    np.testing.assert_array_equal(states.count, np.arange(1, NUM_STEPS + 1))

    # Loss monitor: of the finite losses, in float64, by definition.
    is_finite = np.isfinite(losses)
    seen = np.array(losses, np.float64)[is_finite]
    averages = (
        reference.epoch_averages(seen, steps_per_epoch)
        if is_epoch
        else reference.ema_averages(seen, np.float32(decay))
    )
    scale = np.abs(seen).max(initial=0)
    np.testing.assert_allclose(
        states.average_loss[is_finite], averages, rtol=1e-5, atol=1e-5 * scale
    )

    previous, trace = 0, np.zeros(2)
    for step in range(NUM_STEPS):
        # Phase detector, on the average the library holds; the average is right.
        phase = int(states.phase[step])
        if not is_finite[step]:
            assert phase == previous
        else:
            average = float(states.average_loss[step])
            expected = reference.phase_after(losses[step], average, previous, margin)
            assert phase == (phase if expected is None else expected)
        # Momentum scheduler.
        acting = previous if lagged else phase
        high_now = np.float32(high) / (1 + step) if scheduled else np.float32(high)
        momentum = np.float32(low) if acting else np.float32(high_now)
        np.testing.assert_allclose(states.momentum[step], momentum, rtol=1e-6)
        # SGD core.
        trace = momentum * trace + gradients[step]
        update = gradients[step] + momentum * trace if nesterov else trace
        np.testing.assert_allclose(states.trace[step], trace, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(updates[step], update, rtol=1e-4, atol=1e-5)
        previous = phase


@settings(deadline=None, max_examples=100)
@given(loss=st.floats(-(2.0**100), 2.0**100, width=32), is_epoch=st.booleans())
def test_a_constant_loss_is_always_high(loss, is_epoch):
    _, states = compiled(is_epoch, False, False, False)(
        jnp.full(NUM_STEPS, loss, jnp.float32),
        jnp.ones((NUM_STEPS, 2)),
        *map(jnp.float32, (0.5, 0.9, 0.0, 0.9)),
        jnp.int32(5),
    )
    np.testing.assert_array_equal(states.phase, lcam_optax.Phase.HIGH_LOSS)


def test_a_million_steps_do_not_drift():
    average = lcam_optax.ema_average(0.99)

    def step(_, state):
        return average.update(state, jnp.float32(2.3))[1]

    state = jax.lax.fori_loop(0, 1_000_000, step, average.init())
    assert state.mean == jnp.float32(2.3)
    # The sum of the weights converges to 1 / (1 - decay).
    np.testing.assert_allclose(state.weight, 100.0, rtol=1e-4)


def test_a_million_noisy_steps_keep_to_the_mean():
    average = lcam_optax.ema_average(0.999)
    noise = jax.random.normal(jax.random.key(0), (1_000_000,))
    losses = 2.3 + 0.5 * noise

    def step(state, loss):
        return average.update(state, loss)[1], None

    state, _ = jax.lax.scan(step, average.init(), losses)
    # The same average of the last 20,000 losses in float64: older ones weigh 2e-9.
    recent = np.asarray(losses[-20_000:], np.float64)
    weights = 0.999 ** np.arange(len(recent) - 1, -1, -1)
    expected = np.sum(weights * recent) / np.sum(weights)
    np.testing.assert_allclose(state.mean, expected, rtol=1e-5)
