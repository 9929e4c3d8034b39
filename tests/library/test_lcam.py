import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lcam_optax
from lcam_optax import Phase
from tests.library import reference
from tests.library.older_jax import enable_x64

LOW, HIGH = Phase.LOW_LOSS, Phase.HIGH_LOSS


def run(optimizer, gradients, losses, params):
    """Feeds the optimizer; returns the states and updates after each step."""
    state, states, all_updates = optimizer.init(params), [], []
    for gradient, loss in zip(gradients, losses, strict=True):
        updates, state = optimizer.update(gradient, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        states.append(state)
        all_updates.append(updates)
    return states, all_updates, params


def field(states, name):
    return [np.asarray(getattr(state, name)).item() for state in states]


# --- The method -----------------------------------------------------------------------


def test_same_step_hand_table():
    # Average: the mean of this epoch so far; an epoch is 4 steps; every gradient is 1.
    #   loss  average  phase  momentum  trace
    #   4     4        high   0.5       1
    #   2     3        low    0.75      0.75 * 1 + 1     = 1.75
    #   3     3        high   0.5       0.5 * 1.75 + 1   = 1.875
    #   1     2.5      low    0.75      0.75 * 1.875 + 1 = 2.40625
    #   2     2        high   0.5       (a new epoch)      2.203125
    optimizer = lcam_optax.scale_by_lcam(
        0.5, 0.75, loss_average=lcam_optax.epoch_average(4)
    )
    states, updates, _ = run(
        optimizer, [jnp.ones(())] * 5, [4, 2, 3, 1, 2], jnp.zeros(())
    )
    assert field(states, "count") == [1, 2, 3, 4, 5]
    assert field(states, "average_loss") == [4, 3, 3, 2.5, 2]
    assert field(states, "phase") == [HIGH, LOW, HIGH, LOW, HIGH]
    assert field(states, "momentum") == [0.5, 0.75, 0.5, 0.75, 0.5]
    assert field(states, "trace") == [1, 1.75, 1.875, 2.40625, 2.203125]
    assert [update.item() for update in updates] == field(states, "trace")


@pytest.mark.parametrize("make", [lcam_optax.scale_by_lcam, lambda: lcam_optax.lcam(1)])
def test_default_coefficients_are_0_9_and_0_93(make):
    optimizer = make()
    state, momenta = optimizer.init(jnp.ones(())), []
    for loss in [4.0, 2.0]:
        _, state = optimizer.update(jnp.ones(()), state, value=loss)
        momenta.append(optax.tree.get(state, "momentum"))
    np.testing.assert_array_equal(momenta, np.float32([0.9, 0.93]))


def test_lagged_hand_table():
    # As above, but a comparison acts on the next step; the first step is high loss.
    #   loss  average  phase  momentum  trace
    #   4     4        high   0.5       1
    #   2     3        low    0.5       0.5 * 1 + 1        = 1.5
    #   3     3        high   0.75      0.75 * 1.5 + 1     = 2.125
    #   1     2.5      low    0.5       0.5 * 2.125 + 1    = 2.0625
    #   2     2        high   0.75      0.75 * 2.0625 + 1  = 2.546875
    optimizer = lcam_optax.scale_by_lcam(
        0.5, 0.75, loss_average=lcam_optax.epoch_average(4), lagged=True
    )
    states, _, _ = run(optimizer, [jnp.ones(())] * 5, [4, 2, 3, 1, 2], jnp.zeros(()))
    assert field(states, "phase") == [HIGH, LOW, HIGH, LOW, HIGH]
    assert field(states, "momentum") == [0.5, 0.5, 0.75, 0.5, 0.75]
    assert field(states, "trace") == [1, 1.5, 2.125, 2.0625, 2.546875]


def test_nesterov_update_looks_one_step_ahead():
    # Losses fall, so after the first step the coefficient is 0.75.
    #   trace: 1, 1.75;   update: 1 + 0.5 * 1 = 1.5, 1 + 0.75 * 1.75 = 2.3125
    optimizer = lcam_optax.scale_by_lcam(0.5, 0.75, nesterov=True)
    _, updates, _ = run(optimizer, [jnp.ones(())] * 2, [4, 2], jnp.zeros(()))
    assert [update.item() for update in updates] == [1.5, 2.3125]


def test_margin_keeps_the_phase_inside_the_band():
    # The average of decay 0 is the loss itself, which lies inside any band about it.
    optimizer = lcam_optax.scale_by_lcam(
        loss_average=lcam_optax.ema_average(0.0), margin=0.1
    )
    low_state = optimizer.init(jnp.zeros(()))._replace(phase=jnp.int32(LOW))
    _, state = optimizer.update(jnp.ones(()), low_state, value=2.0)
    assert state.phase == LOW


def test_momentum_schedules_see_the_count_of_update_calls():
    optimizer = lcam_optax.scale_by_lcam(lambda count: 0.125 * count, 0.9)
    rising = [1.0, 2.0, 3.0, 4.0]
    states, _, _ = run(optimizer, [jnp.ones(())] * 4, rising, jnp.zeros(()))
    assert field(states, "momentum") == [0.0, 0.125, 0.25, 0.375]


def test_learning_rate_schedule_sees_the_count_of_update_calls():
    optimizer = lcam_optax.lcam(lambda count: 1.0 + count, 0.0, 0.0)
    _, updates, _ = run(optimizer, [jnp.ones(())] * 3, [1.0] * 3, jnp.zeros(()))
    assert [update.item() for update in updates] == [-1.0, -2.0, -3.0]


@pytest.mark.parametrize("weight_decay", [0.0, 5e-4])
@pytest.mark.parametrize(("low", "high"), [(0.95, 0.9), (0.9, 0.95), (0.93, 0.9)])
def test_lagged_epoch_mean_follows_the_authors_loop(low, high, weight_decay):
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(200, 5)).astype(np.float32)
    losses = rng.gamma(4.0, 0.5, size=200).astype(np.float32)
    weights, momenta, averages = reference.authors_loop(
        gradients.astype(np.float64),
        losses.astype(np.float64),
        steps_per_epoch=17,
        low=low,
        high=high,
        weight_decay=weight_decay,
    )
    core = lcam_optax.scale_by_lcam(
        high, low, loss_average=lcam_optax.epoch_average(17), lagged=True
    )
    optimizer = optax.chain(
        optax.add_decayed_weights(weight_decay), core, optax.scale(-0.1)
    )
    states, _, final = run(optimizer, gradients, losses, jnp.zeros(5))
    states = [state[1] for state in states]
    np.testing.assert_array_equal(
        field(states, "momentum"), np.float32(momenta).tolist()
    )
    np.testing.assert_allclose(field(states, "average_loss"), averages, rtol=1e-6)
    # 200 roundings of numbers that grow to about 10.
    np.testing.assert_allclose(final, weights[-1], rtol=1e-5, atol=1e-5)


# --- Against optax.sgd ----------------------------------------------------------------


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("accumulator_dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
def test_equal_coefficients_are_sgd_bit_for_bit(
    dtype, accumulator_dtype, nesterov, jit
):
    if dtype == jnp.complex64 and accumulator_dtype is not None:
        accumulator_dtype = jnp.complex64
    rng = np.random.default_rng(2)
    params = {"w": jnp.zeros((3, 2), dtype), "b": jnp.ones((), dtype)}
    options = {"nesterov": nesterov, "accumulator_dtype": accumulator_dtype}
    ours = lcam_optax.lcam(0.1, 0.9, 0.9, **options)
    theirs = optax.sgd(0.1, momentum=0.9, **options)
    our_update = jax.jit(ours.update) if jit else ours.update
    their_update = jax.jit(theirs.update) if jit else theirs.update
    our_state, their_state = ours.init(params), theirs.init(params)
    for _ in range(20):
        gradient = jax.tree.map(
            lambda p: jnp.asarray(rng.normal(size=p.shape), dtype), params
        )
        loss = rng.normal()
        our_updates, our_state = our_update(gradient, our_state, params, value=loss)
        their_updates, their_state = their_update(gradient, their_state, params)
        chex.assert_trees_all_equal(our_updates, their_updates)
        chex.assert_trees_all_equal_dtypes(our_updates, their_updates)


def test_lcam_is_the_chain_of_core_and_learning_rate():
    gradients = np.random.default_rng(3).normal(size=(10, 4)).astype(np.float32)
    losses = np.linspace(3, 1, 10)
    chained = optax.chain(
        lcam_optax.scale_by_lcam(0.8, 0.95, nesterov=True),
        optax.scale_by_learning_rate(0.3),
    )
    alias = lcam_optax.lcam(0.3, 0.8, 0.95, nesterov=True)
    params = jnp.zeros(4)
    chex.assert_trees_all_equal(
        run(alias, gradients, losses, params), run(chained, gradients, losses, params)
    )


# --- Under JAX's transformations ------------------------------------------------------


def every_option():
    return {
        "defaults": {},
        "epoch_average": {"loss_average": lcam_optax.epoch_average(3)},
        "median_average": {"loss_average": lcam_optax.median_average(3)},
        "margin": {"margin": 0.05},
        "lagged": {"lagged": True},
        "nesterov": {"nesterov": True},
        "accumulator_dtype": {"accumulator_dtype": jnp.bfloat16},
        "schedules": {
            "high_loss_momentum": optax.linear_schedule(0.0, 0.9, 5),
            "low_loss_momentum": optax.constant_schedule(0.5),
        },
    }


@pytest.fixture(params=every_option())
def optimizer(request):
    return lcam_optax.lcam(0.1, **every_option()[request.param])


GRADIENTS = np.random.default_rng(4).normal(size=(12, 3)).astype(np.float32)
LOSSES = np.random.default_rng(5).normal(size=12).astype(np.float32)


def test_jit_scan_and_vmap_agree_with_eager(optimizer):
    params = jnp.zeros(3)
    _, _, eager = run(optimizer, GRADIENTS, LOSSES, params)

    def scanned(losses):
        def step(carry, batch):
            params, state = carry
            gradient, loss = batch
            updates, state = optimizer.update(gradient, state, params, value=loss)
            return (optax.apply_updates(params, updates), state), None

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, (jnp.asarray(GRADIENTS), losses))[0][0]

    # XLA fuses the multiplication and the addition, and keeps bfloat16 products in
    # float32 on the way.
    is_bfloat16 = optax.tree.get(optimizer.init(params), "trace").dtype == jnp.bfloat16
    rtol = 2e-2 if is_bfloat16 else 1e-5

    np.testing.assert_allclose(scanned(jnp.asarray(LOSSES)), eager, rtol=rtol)
    # Two members with different losses: each keeps its own average and phase.
    batched = jax.jit(jax.vmap(scanned))(jnp.stack([LOSSES, LOSSES[::-1]]))
    reversed_eager = run(optimizer, GRADIENTS, LOSSES[::-1], params)[2]
    np.testing.assert_allclose(batched, jnp.stack([eager, reversed_eager]), rtol=rtol)


def test_update_compiles_once(optimizer):
    params = jnp.zeros(3)
    traces = []

    @jax.jit
    def update(*args, **keywords):
        traces.append("trace")
        return optimizer.update(*args, **keywords)

    state = optimizer.init(params)
    for gradient, loss in zip(GRADIENTS, LOSSES, strict=True):
        _, state = update(gradient, state, params, value=loss)
    assert len(traces) == 1


@pytest.mark.parametrize("loss_dtype", [jnp.bfloat16, jnp.float16, jnp.int32])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_state_keeps_its_shapes_and_dtypes(optimizer, dtype, loss_dtype):
    params = {"w": jnp.zeros((2, 3), dtype)}
    state = optimizer.init(params)
    _, new_state = optimizer.update(
        params, state, params, value=jnp.asarray(1, loss_dtype)
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(state, new_state)


def test_loss_statistics_are_float32_with_bfloat16_parameters():
    optimizer = lcam_optax.lcam(0.1)
    params = jnp.zeros(3, jnp.bfloat16)
    # In bfloat16, 1000.5 would be 1000.
    _, state = optimizer.update(
        params, optimizer.init(params), value=jnp.float32(1000.5)
    )
    assert optax.tree.get(state, "average_loss") == 1000.5
    assert optax.tree.get(state, "average_loss").dtype == jnp.float32


def test_inject_hyperparams_takes_every_number():
    optimizer = optax.inject_hyperparams(lcam_optax.lcam)(0.1, 0.5, 0.75, margin=0.0)
    state = optimizer.init(jnp.zeros(()))
    assert {"learning_rate", "high_loss_momentum", "low_loss_momentum", "margin"} == (
        set(state.hyperparams)
    )
    update = jax.jit(optimizer.update)
    for loss in [4.0, 2.0]:
        updates, state = update(jnp.ones(()), state, value=loss)
    # Trace 0.75 * 1 + 1, times -0.1.
    np.testing.assert_allclose(updates, -0.175, rtol=1e-6)


def test_fields_are_found_by_name_in_a_nested_state():
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.add_decayed_weights(1e-4),
        lcam_optax.lcam(optax.cosine_decay_schedule(0.1, 10), 0.5, 0.75),
    )
    params = jnp.ones(3)
    states, _, _ = run(optimizer, [params, params], [2.0, 1.0], params)
    assert optax.tree.get(states[-1], "phase") == LOW
    assert optax.tree.get(states[-1], "momentum") == 0.75
    np.testing.assert_allclose(
        optax.tree.get(states[-1], "average_loss"), (0.9 * 2 + 1) / 1.9, rtol=1e-6
    )


def test_replicas_with_an_axis_name_agree_on_the_phase():
    optimizer = lcam_optax.scale_by_lcam(0.5, 0.75, axis_name="replica")
    gradient = jnp.ones(())

    def replica(losses):
        state = optimizer.init(gradient)
        for loss in losses:
            _, state = optimizer.update(gradient, state, value=loss)
        return state

    # Means over the replicas: 4, then 2. Replica 1 alone would see a rising loss.
    losses = jnp.array([[7.0, 1.0], [1.0, 3.0]])
    state = jax.vmap(replica, axis_name="replica")(losses)
    np.testing.assert_array_equal(state.phase, [LOW, LOW])
    np.testing.assert_allclose(state.average_loss, [(0.9 * 4 + 2) / 1.9] * 2)


def test_a_number_for_the_loss_average_is_the_decay():
    ones = [jnp.ones(())] * 3
    by_number, _, _ = run(
        lcam_optax.scale_by_lcam(loss_average=0.5), ones, [4.0, 2.0, 3.0], ones[0]
    )
    # Weights 1/4, 1/2 and 1 of losses 4, 2 and 3.
    np.testing.assert_allclose(by_number[-1].average_loss, 5 / 1.75, rtol=1e-6)


def test_inject_hyperparams_takes_schedules_of_margin_and_decay():
    optimizer = optax.inject_hyperparams(lcam_optax.lcam)(
        0.1,
        loss_average=lambda count: 0.5 * count,
        margin=lambda count: 0.25 * count,
    )
    state = optimizer.init(jnp.ones(()))
    for loss in [4.0, 2.0]:
        _, state = optimizer.update(jnp.ones(()), state, jnp.ones(()), value=loss)
    # Decay 1/2 of loss 4: (2 + 2) / 1.5; below that by less than a quarter.
    np.testing.assert_allclose(
        optax.tree.get(state, "average_loss"), 4 / 1.5, rtol=1e-6
    )
    assert optax.tree.get(state, "phase") == HIGH


def test_a_users_own_loss_average_is_used():
    first_loss = lcam_optax.LossAverage(
        init=lambda: jnp.float32(jnp.inf),
        update=lambda state, loss: (jnp.minimum(state, loss),) * 2,
    )  # the lowest loss so far: nothing is ever below it
    optimizer = lcam_optax.scale_by_lcam(loss_average=first_loss)
    states, _, _ = run(optimizer, [jnp.ones(())] * 3, [3, 1, 2], jnp.zeros(()))
    assert field(states, "average_loss") == [3, 1, 1]
    assert field(states, "phase") == [HIGH] * 3


# --- Losses that are not finite -------------------------------------------------------


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("loss", [np.nan, np.inf, jnp.bfloat16(2), np.float64(2)])
def test_loss_average_sees_finite_float32_scalars_only(loss, x64):
    def update(state, loss):
        assert (loss.shape, loss.dtype) == ((), jnp.float32)
        assert jnp.isfinite(loss)
        return loss, state

    watcher = lcam_optax.LossAverage(init=lambda: (), update=update)
    optimizer = lcam_optax.scale_by_lcam(loss_average=watcher)
    with enable_x64(x64):
        optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())), value=loss)


@pytest.mark.parametrize("lagged", [False, True])
@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_non_finite_loss_changes_neither_average_nor_phase(loss, lagged):
    optimizer = lcam_optax.scale_by_lcam(0.5, 0.75, lagged=lagged)
    ones = jnp.ones(())
    states, _, _ = run(optimizer, [ones, ones], [4.0, 2.0], ones)
    before = states[-1]
    _, after = optimizer.update(ones, before, value=loss)
    chex.assert_trees_all_equal(
        (after.loss_average, after.average_loss, after.phase),
        (before.loss_average, before.average_loss, before.phase),
    )
    # The step is taken, with the low-loss coefficient of the phase it is in.
    assert after.momentum == 0.75
    assert after.trace == 0.75 * before.trace + 1
    assert after.count == 3


@pytest.mark.parametrize("average", [0.9, lcam_optax.epoch_average(7)])
def test_finite_loss_that_would_make_the_average_infinite_is_left_out(average):
    # The mean moves by a fraction of 3.4e38 - -3.4e38, which float32 does not hold.
    optimizer = lcam_optax.scale_by_lcam(0.5, 0.75, loss_average=average)
    losses = [1.0, -3.4e38, 3.4e38, 1.0]
    states, _, _ = run(optimizer, [jnp.ones(())] * 4, losses, jnp.ones(()))
    _, before, after, last = states
    chex.assert_trees_all_equal(
        (after.loss_average, after.average_loss, after.phase),
        (before.loss_average, before.average_loss, before.phase),
    )
    assert after.momentum == 0.75  # low-loss, as before
    assert np.isfinite(last.average_loss)
    assert last.phase == HIGH


def test_average_of_ones_own_that_is_not_finite_is_left_out():
    logarithm = lcam_optax.LossAverage(
        init=lambda: jnp.float32(0),
        update=lambda state, loss: (jnp.log(loss), state + 1),
    )
    optimizer = lcam_optax.scale_by_lcam(loss_average=logarithm)
    states, _, _ = run(optimizer, [jnp.ones(())] * 2, [1.0, -1.0], jnp.ones(()))
    assert field(states, "average_loss") == [0.0, 0.0]
    assert field(states, "loss_average") == [1.0, 1.0]


def test_a_non_finite_first_loss_leaves_the_average_to_the_next():
    optimizer = lcam_optax.scale_by_lcam()
    ones = [jnp.ones(())] * 3
    states, _, _ = run(optimizer, ones, [np.nan, 4.0, 2.0], jnp.ones(()))
    assert field(states, "average_loss")[:2] == [0.0, 4.0]
    assert field(states, "phase") == [HIGH, HIGH, LOW]
