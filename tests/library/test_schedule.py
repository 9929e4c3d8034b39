"""`loss_phase_schedule`: held to `lcam`, and to tables by hand."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lcam_optax
from lcam_optax import Phase, loss_phase_schedule

LOW, HIGH = Phase.LOW_LOSS, Phase.HIGH_LOSS
PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.float32(0.5)}
GRADIENT = jax.tree.map(jnp.ones_like, PARAMS)
NUM_STEPS = 12


def phase_sgd(high, low, learning_rate=0.1, **options):
    return optax.inject_hyperparams(optax.sgd)(
        learning_rate, momentum=loss_phase_schedule(high, low, **options)
    )


def fed(optimizer, losses, params=PARAMS, gradient=GRADIENT):
    """Feeds equal gradients and these losses; returns the last updates and states."""
    state, update, states = optimizer.init(params), jax.jit(optimizer.update), []
    for loss in losses:
        updates, state = update(gradient, state, params, value=loss)
        states.append(state)
    return updates, states


def momenta(states):
    return [state.hyperparams["momentum"].item() for state in states]


# --- The method -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lagged", "expected"),
    # Averages of losses 4, 2, 3, 1, 2 over epochs of 4: 4, 3, 3, 2.5, 2.
    [(False, [0.5, 0.75, 0.5, 0.75, 0.5]), (True, [0.5, 0.5, 0.75, 0.5, 0.75])],
)
def test_value_by_hand_table(lagged, expected):
    optimizer = phase_sgd(
        0.5, 0.75, loss_average=lcam_optax.epoch_average(4), lagged=lagged
    )
    _, states = fed(optimizer, [4.0, 2.0, 3.0, 1.0, 2.0])
    assert momenta(states) == expected
    phases = [optax.tree.get(state, "phase").item() for state in states]
    assert phases == [HIGH, LOW, HIGH, LOW, HIGH]
    averages = [optax.tree.get(state, "average_loss").item() for state in states]
    assert averages == [4, 3, 3, 2.5, 2]


def test_margin_keeps_the_value_inside_the_band():
    # Averages of an epoch: 4, 3, 2.75. The band of 0.25: 2 is below 2.25, 2.25 is not
    # above 3.4375.
    optimizer = phase_sgd(
        0.5, 0.75, loss_average=lcam_optax.epoch_average(9), margin=0.25
    )
    assert momenta(fed(optimizer, [4.0, 2.0, 2.25])[1]) == [0.5, 0.75, 0.75]


def test_values_may_be_schedules_of_the_count_of_update_calls():
    optimizer = phase_sgd(lambda count: 0.125 * (1 + count), lambda count: 0.0 * count)
    assert momenta(fed(optimizer, [1.0, 2.0, 1.0, 4.0])[1]) == [0.125, 0.25, 0.0, 0.5]


def test_schedule_may_be_a_static_argument():
    schedule = loss_phase_schedule(0.5, jnp.float32(0.75))
    assert hash(schedule) == hash(schedule)


def test_before_the_first_loss_the_value_is_that_of_high_loss():
    assert phase_sgd(0.5, 0.75).init(PARAMS).hyperparams["momentum"] == 0.5


@functools.cache
def compiled(name, is_epoch, lagged):
    """`lcam`, or the schedule in SGD: one compilation for what is code."""

    def trajectory(losses, gradients, rate, high, low, margin, decay, steps_per_epoch):
        options = {
            "loss_average": (
                lcam_optax.epoch_average(steps_per_epoch)
                if is_epoch
                else lcam_optax.ema_average(decay)
            ),
            "margin": margin,
            "lagged": lagged,
        }
        if name == "lcam":
            optimizer = lcam_optax.lcam(rate, high, low, **options)
        else:
            optimizer = phase_sgd(high, low, rate, **options)

        def step(carry, batch):
            params, state = carry
            gradient, loss = batch
            updates, state = optimizer.update(gradient, state, params, value=loss)
            params = optax.apply_updates(params, updates)
            watched = [optax.tree.get(state, n) for n in ("phase", "average_loss")]
            return (params, state), (params, watched)

        params = jnp.ones(3)
        return jax.lax.scan(step, (params, optimizer.init(params)), (gradients, losses))

    return jax.jit(lambda *numbers: trajectory(*numbers)[1])


ratios = st.integers(0, 1023).map(lambda number: number / 1024)


@settings(deadline=None, max_examples=100)
@given(
    losses=st.lists(
        st.one_of(
            st.integers(-4096, 4096).map(lambda number: number / 1024),
            st.sampled_from([1.0, float("nan"), float("inf")]),
        ),
        min_size=NUM_STEPS,
        max_size=NUM_STEPS,
    ),
    seed=st.integers(0, 2**32 - 1),
    rate=ratios,
    high=ratios,
    low=ratios,
    margin=st.sampled_from([0.0, 0.01, 0.25, 2.0]),
    decay=ratios,
    steps_per_epoch=st.integers(1, NUM_STEPS + 2),
    is_epoch=st.booleans(),
    lagged=st.booleans(),
)
def test_sgd_with_the_schedule_is_lcam_bit_for_bit(
    losses,
    seed,
    rate,
    high,
    low,
    margin,
    decay,
    steps_per_epoch,
    is_epoch,
    lagged,
):
    gradients = np.random.default_rng(seed).normal(size=(NUM_STEPS, 3))
    numbers = (
        jnp.asarray(losses, jnp.float32),
        gradients.astype(np.float32),
        *map(jnp.float32, (rate, high, low, margin, decay)),
        jnp.int32(steps_per_epoch),
    )
    code = (is_epoch, lagged)
    chex.assert_trees_all_equal(
        compiled("lcam", *code)(*numbers), compiled("schedule", *code)(*numbers)
    )


def test_sgd_with_the_schedule_is_lcam_bit_for_bit_without_jit():
    losses = np.random.default_rng(0).normal(size=8).astype(np.float32)
    with jax.disable_jit():
        ours, _ = fed(phase_sgd(0.9, 0.95), losses)
        theirs, _ = fed(lcam_optax.lcam(0.1, 0.9, 0.95), losses)
    chex.assert_trees_all_equal(ours, theirs)


def test_adamw_with_equal_values_is_adamw():
    optimizer = optax.inject_hyperparams(optax.adamw)(
        1e-3, b1=loss_phase_schedule(0.8, 0.8)
    )
    plain = optax.inject_hyperparams(optax.adamw)(1e-3, b1=0.8)
    chex.assert_trees_all_equal(
        fed(optimizer, [3.0, 1.0, 2.0])[0], fed(plain, [3.0, 1.0, 2.0])[0]
    )


def test_learning_rate_by_phase():
    optimizer = optax.inject_hyperparams(optax.sgd)(loss_phase_schedule(0.5, 0.25))
    updates, _ = fed(optimizer, [4.0])
    assert updates["b"] == -0.5
    updates, _ = fed(optimizer, [4.0, 2.0])
    assert updates["b"] == -0.25


# --- Losses that are not finite, and bad input ----------------------------------------


def test_non_finite_loss_changes_neither_average_nor_value():
    _, states = fed(phase_sgd(0.5, 0.75), [4.0, 2.0, np.nan, np.inf])
    assert momenta(states)[1:] == [0.75] * 3
    for state in states[2:]:
        before = states[1].hyperparams_states["momentum"]
        after = state.hyperparams_states["momentum"]
        chex.assert_trees_all_equal(
            after._replace(count=None), before._replace(count=None)
        )


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({}, TypeError, r"keyword `value`, the .*got none.*value=loss"),
        ({"value": None}, TypeError, r"keyword `value`, the .*got none"),
        ({"loss": 1.0}, TypeError, r"`value`.* got only the keywords `loss`"),
        ({"value": jnp.ones(3)}, ValueError, r"`value` must be .*jnp.mean"),
        ({"value": "2.3"}, TypeError, r"`value` must be the scalar .* real number"),
    ],
)
def test_bad_value_is_refused_as_by_lcam(keywords, error, message):
    optimizer = phase_sgd(0.5, 0.75)
    with pytest.raises(error, match=message):
        optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS, **keywords)


@pytest.mark.parametrize("name", ["high_loss_value", "low_loss_value"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_value_that_is_not_finite_is_refused(name, number):
    values = {"high_loss_value": 0.9, "low_loss_value": 0.9, name: number}
    with pytest.raises(ValueError, match=rf"`{name}` must be in \(-inf, inf\), got"):
        loss_phase_schedule(**values)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("high_loss_value", "0.9"),
        ("low_loss_value", None),
        ("margin", "0.1"),
        ("lagged", 1),
        ("loss_average", "0.99"),
    ],
)
def test_setting_of_a_wrong_type_is_refused(name, setting):
    settings = {"high_loss_value": 0.9, "low_loss_value": 0.9, name: setting}
    with pytest.raises(TypeError, match=f"`{name}` must be a"):
        loss_phase_schedule(**settings)


def test_schedule_outside_of_inject_hyperparams_says_what_it_needs():
    optimizer = optax.sgd(loss_phase_schedule(0.1, 0.2))
    with pytest.raises(TypeError, match="needs `inject_hyperparams`"):
        optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)


# --- Under JAX's transformations and Optax's wrappers ---------------------------------

# Averages of 4, 2, 3, 1 are 4, 2.99, 2.99, 2.48: the last step is low loss.
LOSSES = (4.0, 2.0, 3.0, 1.0)


@pytest.fixture
def alone():
    """The updates that the schedule by itself arrives at."""
    return fed(phase_sgd(0.5, 0.75), LOSSES)[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"margin": 0.05, "lagged": True},
        {"loss_average": lcam_optax.epoch_average(3)},
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_state_keeps_its_shapes_and_dtypes_and_compiles_once(options, dtype):
    optimizer = phase_sgd(0.5, optax.constant_schedule(0.75), **options)
    params = optax.tree.cast(PARAMS, dtype)
    traces = []

    @jax.jit
    def update(state, loss):
        traces.append("trace")
        return optimizer.update(params, state, params, value=loss, unknown=1)[1]

    state = optimizer.init(params)
    for loss in (4.0, 2.0):
        new_state = update(state, loss)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, new_state)
        state = new_state
    assert optax.tree.get(state, "average_loss").dtype == jnp.float32
    assert len(traces) == 1


def test_vmap_over_losses_keeps_a_phase_for_each():
    optimizer = phase_sgd(0.5, 0.75)

    def scanned(losses):
        def step(state, loss):
            _, state = optimizer.update(GRADIENT, state, PARAMS, value=loss)
            return state, state.hyperparams["momentum"]

        return jax.lax.scan(step, optimizer.init(PARAMS), losses)[1]

    both = jax.vmap(scanned)(jnp.array([[4.0, 2.0], [2.0, 4.0]]))
    np.testing.assert_array_equal(both, [[0.5, 0.75], [0.5, 0.5]])


def test_replicas_with_an_axis_name_agree_on_the_value():
    optimizer = phase_sgd(0.5, 0.75, axis_name="replica")

    def replica(losses):
        state = optimizer.init(PARAMS)
        for loss in losses:
            _, state = optimizer.update(GRADIENT, state, PARAMS, value=loss)
        return state.hyperparams["momentum"]

    # Means over the replicas: 4, then 2. Replica 1 alone would see a rising loss.
    losses = jnp.array([[7.0, 1.0], [1.0, 3.0]])
    np.testing.assert_array_equal(
        jax.vmap(replica, axis_name="replica")(losses), [0.75, 0.75]
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: optax.chain(optax.identity(), inner),
        lambda inner: optax.masked(inner, mask=True),
        lambda inner: optax.partition({"all": inner}, "all"),
        lambda inner: optax.apply_if_finite(inner, 3),
    ],
    ids=["chain", "masked", "partition", "apply_if_finite"],
)
def test_value_reaches_the_schedule_through(wrap, alone):
    updates, states = fed(wrap(phase_sgd(0.5, 0.75)), LOSSES)
    chex.assert_trees_all_close(updates, alone, rtol=1e-6)
    assert optax.tree.get(states[-1], "phase") == LOW


def test_multi_steps_hands_on_the_last_loss(alone):
    optimizer = optax.MultiSteps(phase_sgd(0.5, 0.75), every_k_schedule=2)
    updates, _ = fed(optimizer, [9.0, 4.0, 9.0, 2.0, 9.0, 3.0, 9.0, 1.0])
    chex.assert_trees_all_close(updates, alone, rtol=1e-6)


def test_each_group_of_a_partition_has_its_own_schedule():
    optimizer = optax.partition(
        {"fast": phase_sgd(0.5, 0.75), "slow": phase_sgd(0.5, 0.5)},
        {"w": "fast", "b": "slow"},
    )
    updates, _ = fed(optimizer, (4.0, 2.0))
    np.testing.assert_allclose(updates["w"], -0.1 * (0.75 + 1) * jnp.ones(2))
    np.testing.assert_allclose(updates["b"], -0.1 * (0.5 + 1))


def test_schedule_in_the_place_of_a_number_says_what_it_needs():
    optimizer = optax.adamw(1e-3, b1=loss_phase_schedule(0.9, 0.95))
    state = optimizer.init(jnp.zeros(2))
    with pytest.raises(
        TypeError, match="keeps a state, and needs `inject_hyperparams`"
    ):
        optimizer.update(jnp.ones(2), state, jnp.zeros(2), value=1.0)
