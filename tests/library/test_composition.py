"""What Optax's users do to a transformation, done to LCAM.

The six properties at the top are those Optax's own suite asks of contributed optimizers
(optax/contrib/_common_test.py), for every option of `lcam`.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import lcam_optax
from lcam_optax import Phase
from tests.library.older_jax import enable_x64, vary

OPTIONS = {
    "defaults": {},
    "ema_average": {"loss_average": lcam_optax.ema_average(0.5)},
    "epoch_average": {"loss_average": lcam_optax.epoch_average(3)},
    "median_average": {"loss_average": lcam_optax.median_average(3)},
    "margin": {"margin": 0.05},
    "lagged": {"lagged": True},
    "nesterov": {"nesterov": True},
    # A callable dtype (jnp.float32) would be a schedule to `inject_hyperparams`.
    "accumulator_dtype": {"accumulator_dtype": jnp.dtype("float32")},
    "schedules": {
        "high_loss_momentum": optax.linear_schedule(0.0, 0.9, 5),
        "low_loss_momentum": optax.constant_schedule(0.5),
    },
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.float32(0.25)}
GRADIENT = jax.tree.map(jnp.ones_like, PARAMS)
LOSSES = (4.0, 2.0, 3.0, 1.0)


def fed(optimizer, losses=LOSSES, params=PARAMS, gradient=GRADIENT):
    """Feeds equal gradients and these losses; returns the last updates and state."""
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for loss in losses:
        updates, state = update(gradient, state, params, value=loss)
    return updates, state


@pytest.fixture
def alone():
    """The updates and state that LCAM by itself arrives at."""
    return fed(lcam_optax.lcam(0.1, 0.5, 0.75))


# --- Optax's six properties -----------------------------------------------------------


@every_option
def test_unknown_keywords_are_accepted_and_nothing_recompiles(options):
    optimizer = lcam_optax.lcam(0.1, **options)
    traces = []

    @jax.jit
    def update(state, loss):
        traces.append("trace")
        return optimizer.update(GRADIENT, state, PARAMS, value=loss, unknown=1)[1]

    state = update(optimizer.init(PARAMS), jnp.float32(1))
    update(state, jnp.float32(2))
    assert len(traces) == 1


@every_option
@pytest.mark.parametrize("target", [jnp.array([1.0, -1.0]), jnp.array([[3.0]])])
def test_converges_on_a_parabola(options, target):
    optimizer = lcam_optax.lcam(0.01, **options)

    def step(carry, _):
        params, state = carry
        loss, grad = jax.value_and_grad(lambda p: jnp.sum((p - target) ** 2))(params)
        updates, state = optimizer.update(grad, state, params, value=loss)
        return (optax.apply_updates(params, updates), state), None

    params = jnp.zeros_like(target)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=1000)
    np.testing.assert_allclose(params, target, rtol=1e-3)


@every_option
def test_inject_hyperparams_changes_nothing(options):
    plain = fed(lcam_optax.lcam(0.1, **options))[0]
    injected = optax.inject_hyperparams(lcam_optax.lcam)(0.1, **options)
    chex.assert_trees_all_close(fed(injected)[0], plain, rtol=1e-6)
    # Under jit the numbers are tracers when the optimizer is made anew.
    update = jax.jit(injected.update)
    state = injected.init(PARAMS)
    for loss in LOSSES:
        updates, state = update(GRADIENT, state, PARAMS, value=loss)
    chex.assert_trees_all_close(updates, plain, rtol=1e-6)


@every_option
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_parameters_keep_their_dtype(options, dtype):
    params = optax.tree.cast(PARAMS, dtype)
    updates, _ = fed(lcam_optax.lcam(0.1, **options), params=params, gradient=params)
    new_params = optax.apply_updates(params, updates)
    chex.assert_trees_all_equal_dtypes(new_params, params)


@every_option
def test_works_in_multi_steps(options):
    optimizer = optax.MultiSteps(lcam_optax.lcam(0.1, **options), every_k_schedule=2)
    updates, _ = fed(optimizer, losses=(9.0, 4.0, 9.0, 2.0))
    # Equal gradients: the mean of two is one of them, and the last loss of each counts.
    expected, _ = fed(lcam_optax.lcam(0.1, **options), losses=(4.0, 2.0))
    chex.assert_trees_all_close(updates, expected, rtol=1e-6)


@every_option
@pytest.mark.parametrize("loss_dtype", [jnp.bfloat16, jnp.float32, jnp.int32])
def test_state_passes_through_cond_whatever_the_dtype_of_the_loss(options, loss_dtype):
    optimizer = lcam_optax.lcam(0.1, **options)
    state = optimizer.init(PARAMS)

    def update(state):
        return optimizer.update(
            GRADIENT, state, PARAMS, value=jnp.asarray(2, loss_dtype)
        )[1]

    new_state = jax.lax.cond(True, update, lambda state: state, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)


@every_option
def test_map_params_reaches_the_trace_and_nothing_else(options):
    optimizer = lcam_optax.lcam(0.1, **options)
    state = optimizer.init(PARAMS)
    doubled = optax.tree.map_params(optimizer, lambda leaf: leaf + 7, state)
    chex.assert_trees_all_equal(doubled[0]._replace(trace=None),
                                state[0]._replace(trace=None))  # fmt: skip
    for leaf in jax.tree.leaves(doubled[0].trace):
        assert jnp.all(leaf == 7)


# --- Optax's wrappers -----------------------------------------------------------------


def identity_like():
    lcam = lcam_optax.lcam(0.1, 0.5, 0.75)
    return {
        "chain": optax.chain(optax.identity(), lcam),
        "named_chain": optax.named_chain(("first", optax.identity()), ("lcam", lcam)),
        "masked": optax.masked(lcam, mask=True),
        "partition": optax.partition({"all": lcam}, "all"),
        "apply_if_finite": optax.apply_if_finite(lcam, max_consecutive_errors=3),
        "conditionally_transform": optax.conditionally_transform(
            lcam, lambda step: step >= 0
        ),
        "conditionally_mask": optax.conditionally_mask(lcam, lambda step: step >= 0),
        "flatten": optax.flatten(lcam),
        "with_extra_args_support": optax.with_extra_args_support(lcam),
        "reduce_on_plateau": optax.chain(lcam, optax.contrib.reduce_on_plateau()),
    }


@pytest.mark.skipif(
    not hasattr(optax.transforms, "selective_transform"),
    reason="this Optax has no selective_transform",
)
def test_value_reaches_lcam_through_selective_transform(alone):
    lcam = lcam_optax.lcam(0.1, 0.5, 0.75)
    wrapped = optax.transforms.selective_transform(lcam, freeze_mask=False)
    chex.assert_trees_all_close(fed(wrapped)[0], alone[0], rtol=1e-6)


@pytest.mark.parametrize(
    "wrap",
    [
        optax.contrib.mechanize,
        lambda lcam: optax.chain(lcam, optax.scale_by_backtracking_linesearch(5)),
        lambda lcam: optax.chain(lcam, optax.scale_by_zoom_linesearch(5)),
    ],
    ids=["mechanize", "backtracking", "zoom"],
)
def test_value_reaches_lcam_through_what_scales_its_steps(wrap):
    optimizer = wrap(lcam_optax.lcam(0.1, 0.5, 0.75))
    params = jnp.zeros(3)
    state = optimizer.init(params)
    for loss in LOSSES:
        _, state = optimizer.update(
            jnp.ones(3), state, params, value=loss, grad=jnp.ones(3), value_fn=jnp.sum
        )
    # Averages of 4, 2, 3, 1 with a decay of 0.9: the last loss is below.
    assert optax.tree.get(state, "phase") == Phase.LOW_LOSS


@pytest.mark.parametrize("wrapper", identity_like())
def test_value_reaches_lcam_through(wrapper, alone):
    updates, state = fed(identity_like()[wrapper])
    chex.assert_trees_all_close(updates, alone[0], rtol=1e-6)
    expected_phases = [Phase.LOW_LOSS]  # loss 1 is below the average of 4, 2, 3, 1
    assert [optax.tree.get(state, "phase").item()] == expected_phases


def test_schedule_free_drives_lcam_as_it_drives_sgd():
    lcam = optax.contrib.schedule_free(lcam_optax.lcam(0.1, 0.5, 0.5), 0.1, b1=0.9)
    sgd = optax.with_extra_args_support(
        optax.contrib.schedule_free(optax.sgd(0.1, 0.5), 0.1, b1=0.9)
    )
    chex.assert_trees_all_equal(fed(lcam)[0], fed(sgd)[0])


def test_each_group_of_a_partition_has_its_own_average():
    optimizer = optax.partition(
        {
            "fast": lcam_optax.lcam(0.1, 0.5, 0.75),
            "slow": lcam_optax.lcam(0.1, 0.5, 0.5),
        },
        {"w": "fast", "b": "slow"},
    )
    updates, _ = fed(optimizer, losses=(4.0, 2.0))
    np.testing.assert_allclose(updates["w"], -0.1 * (0.75 + 1) * jnp.ones((2, 2)))
    np.testing.assert_allclose(updates["b"], -0.1 * (0.5 + 1))


def test_apply_if_finite_guards_gradients_and_lcam_guards_its_average():
    optimizer = optax.apply_if_finite(lcam_optax.lcam(0.1, 0.5, 0.75), 3)
    _, state = fed(optimizer, losses=(4.0, float("nan"), 4.0))
    assert optax.tree.get(state, "average_loss") == 4.0


# Where `value` is dropped. What to do instead: docs/recipes.md.


def test_lookahead_drops_value():
    optimizer = optax.lookahead(lcam_optax.lcam(0.1), sync_period=5, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced(PARAMS)
    with pytest.raises(TypeError, match="value"):
        optimizer.update(GRADIENT, optimizer.init(params), params, value=1.0)


def test_sam_drops_value():
    adversarial = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
    optimizer = optax.contrib.sam(lcam_optax.lcam(0.1), adversarial, sync_period=2)
    with pytest.raises(TypeError, match="value"):
        optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS, value=1.0)


@pytest.mark.skipif(
    not hasattr(optax.contrib, "galore"), reason="this Optax has no contrib.galore"
)
def test_galore_drops_value():
    params = {"w": jnp.ones((2, 2))}
    optimizer = optax.contrib.galore(0.1, 1, base_optimizer=lcam_optax.lcam(0.1))
    optimizer = optax.with_extra_args_support(optimizer)
    with pytest.raises(TypeError, match="a wrapper dropped it"):
        optimizer.update(params, optimizer.init(params), params, value=1.0)


def test_split_real_and_imaginary_drops_value_and_is_not_needed():
    params, gradient = jnp.array([1 + 2j]), jnp.array([0.5 - 1j])
    split = optax.contrib.split_real_and_imaginary
    with pytest.raises(TypeError, match="value"):
        fed(split(lcam_optax.lcam(0.1)), LOSSES, params, gradient)
    sgd = optax.with_extra_args_support(split(optax.sgd(0.1, 0.9)))
    theirs, _ = fed(sgd, LOSSES, params, gradient)
    ours, _ = fed(lcam_optax.lcam(0.1, 0.9, 0.9), LOSSES, params, gradient)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_multi_steps_in_a_chain_drops_value_unless_wrapped_again(alone):
    multi_steps = optax.MultiSteps(lcam_optax.lcam(0.1, 0.5, 0.75), every_k_schedule=1)
    dropping = optax.chain(multi_steps.gradient_transformation())
    with pytest.raises(TypeError, match="keyword `value`"):
        fed(dropping)
    keeping = optax.GradientTransformationExtraArgs(
        multi_steps.init, multi_steps.update
    )
    updates, _ = fed(optax.chain(keeping))
    chex.assert_trees_all_close(updates, alone[0], rtol=1e-6)


# --- Gradient accumulation ------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=8).astype(np.float32)


def loss_fn(params, x, y):
    return jnp.mean((x @ params - y) ** 2)


def full_batches(optimizer, num_steps=5):
    params = jnp.zeros(3)
    state = optimizer.init(params)
    for _ in range(num_steps):
        loss, grad = jax.value_and_grad(loss_fn)(params, X, Y)
        updates, state = optimizer.update(grad, state, params, value=loss)
        params = optax.apply_updates(params, updates)
    return params, optax.tree.get(state, "average_loss")


@pytest.mark.skipif(
    not hasattr(optax, "microbatching"), reason="needs optax.microbatching"
)
def test_microbatch_equals_the_full_batch():
    lcam = lcam_optax.lcam(0.1, 0.5, 0.75)
    value_and_grad = optax.microbatching.microbatch(
        jax.value_and_grad(loss_fn),
        argnums=(1, 2),
        microbatch_size=2,
        accumulator=optax.microbatching.AccumulationType.MEAN,
    )
    params = jnp.zeros(3)
    state = lcam.init(params)
    for _ in range(5):
        loss, grad = value_and_grad(params, jnp.asarray(X), jnp.asarray(Y))
        updates, state = lcam.update(grad, state, params, value=loss)
        params = optax.apply_updates(params, updates)
    average = optax.tree.get(state, "average_loss")
    chex.assert_trees_all_close((params, average), full_batches(lcam), rtol=1e-5)


# --- Replicas -------------------------------------------------------------------------

# Two replicas whose own losses move in opposite directions; the means fall: 4, then 2.
REPLICA_LOSSES = jnp.array([[7.0, 1.0], [1.0, 3.0]])


def replica(losses, axis_name):
    optimizer = lcam_optax.lcam(0.1, 0.5, 0.75, axis_name=axis_name)
    params = jnp.zeros(2)
    state = optimizer.init(params)
    for loss in losses:
        updates, state = optimizer.update(jnp.ones(2), state, params, value=loss)
        params = optax.apply_updates(params, updates)
    return params, optax.tree.get(state, "phase"), optax.tree.get(state, "average_loss")


def mapped(axis_name, mapping):
    def body(losses):
        return replica(losses, axis_name)

    match mapping:
        case "vmap":
            return jax.vmap(body, axis_name="replica")(REPLICA_LOSSES)
        case "pmap":
            return jax.pmap(body, axis_name="replica")(REPLICA_LOSSES)
        case "shard_map":
            mesh = jax.make_mesh((2,), ("replica",), axis_types=(AxisType.Auto,))
            return jax.jit(
                jax.shard_map(
                    lambda losses: jax.tree.map(
                        lambda leaf: leaf[jnp.newaxis], body(losses[0])
                    ),
                    mesh=mesh,
                    in_specs=P("replica"),
                    out_specs=P("replica"),
                    check_vma=False,
                )
            )(REPLICA_LOSSES)


@pytest.mark.parametrize("mapping", ["vmap", "pmap", "shard_map"])
def test_replicas_with_an_axis_name_stay_identical(mapping):
    params, phase, average = mapped("replica", mapping)
    for leaf in (params, phase, average):
        np.testing.assert_array_equal(leaf[0], leaf[1])
    np.testing.assert_array_equal(phase, [Phase.LOW_LOSS] * 2)
    np.testing.assert_allclose(average, [(0.9 * 4 + 2) / 1.9] * 2, rtol=1e-6)


@pytest.mark.parametrize("mapping", ["vmap", "pmap", "shard_map"])
def test_replicas_without_an_axis_name_drift_apart(mapping):
    params, phase, _ = mapped(None, mapping)
    np.testing.assert_array_equal(phase, [Phase.LOW_LOSS, Phase.HIGH_LOSS])
    assert jnp.all(params[0] != params[1])


def sharded(function, in_specs, out_specs, check_vma):
    mesh = jax.make_mesh((2,), ("replica",), axis_types=(AxisType.Auto,))
    return jax.jit(
        jax.shard_map(
            function,
            mesh=mesh,
            in_specs=in_specs,
            out_specs=out_specs,
            check_vma=check_vma,
        )
    )


def trained_in_parts(part, mapping):
    """The weights after some steps, each on the means over two halves of a batch."""
    num_steps = 5
    optimizer = lcam_optax.lcam(0.1, 0.5, 0.75, axis_name="replica")

    def train(params, x, y):
        def step(carry, _):
            params, state = carry
            loss, grads = jax.value_and_grad(loss_fn)(part(params), x, y)
            grads = jax.lax.pmean(grads, "replica")
            updates, state = optimizer.update(grads, state, params, value=loss)
            return (optax.apply_updates(params, updates), state), None

        carry = (params, optimizer.init(params))
        (params, state), _ = jax.lax.scan(step, carry, length=num_steps)
        return params, optax.tree.get(state, "average_loss")

    halves = jnp.asarray(X).reshape(2, 4, 3), jnp.asarray(Y).reshape(2, 4)
    if mapping in ("vmap", "pmap"):
        mapped = getattr(jax, mapping)(train, axis_name="replica", in_axes=(None, 0, 0))
        return jax.tree.map(lambda leaf: leaf[0], mapped(jnp.zeros(3), *halves))
    specs = (P(), P("replica"), P("replica"))
    run = sharded(train, specs, P(), check_vma=mapping == "shard_map")
    return run(jnp.zeros(3), jnp.asarray(X), jnp.asarray(Y))


@pytest.mark.parametrize(
    ("mapping", "part"),
    [
        ("shard_map", lambda params: vary(params, "replica")),
        ("shard_map, unchecked", lambda params: vary(params, "replica")),
        ("shard_map, unchecked", lambda params: params),
        ("pmap", lambda params: vary(params, "replica")),
        ("pmap", lambda params: params),
        ("vmap", lambda params: params),
    ],
)
def test_replicas_take_the_steps_of_the_whole_batch(mapping, part):
    whole = full_batches(lcam_optax.lcam(0.1, 0.5, 0.75))
    chex.assert_trees_all_close(trained_in_parts(part, mapping), whole, rtol=1e-5)


def test_sharded_arrays_take_the_steps_of_the_whole_batch():
    mesh = jax.make_mesh((2,), ("replica",), axis_types=(AxisType.Auto,))
    split = jax.NamedSharding(mesh, P("replica"))
    x, y = jax.device_put((jnp.asarray(X), jnp.asarray(Y)), split)
    optimizer = lcam_optax.lcam(0.1, 0.5, 0.75)

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    params = jnp.zeros(3)
    state = optimizer.init(params)
    for _ in range(5):
        params, state = step(params, state)
    found = params, optax.tree.get(state, "average_loss")
    chex.assert_trees_all_close(found, full_batches(optimizer), rtol=1e-5)


# --- A population: each member has weights of its own ---------------------------------


def by_phase():
    schedule = lcam_optax.loss_phase_schedule(0.5, 0.75)
    return optax.inject_hyperparams(optax.sgd)(0.1, momentum=schedule)


@pytest.mark.parametrize(
    "make",
    [
        lambda: lcam_optax.lcam(0.1, 0.5, 0.75),
        lambda: lcam_optax.lcam(0.1, loss_average=lcam_optax.median_average(3)),
        by_phase,
    ],
    ids=["lcam", "median", "schedule"],
)
def test_members_on_devices_of_their_own_train_as_they_would_alone(make):
    optimizer = make()

    def train(params):
        def step(carry, _):
            params, state = carry
            loss, grads = jax.value_and_grad(loss_fn)(params, X, Y)
            updates, state = optimizer.update(grads, state, params, value=loss)
            return (optax.apply_updates(params, updates), state), loss

        return jax.lax.scan(step, (params, optimizer.init(params)), length=5)[1]

    members = jnp.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5], [1.0, 1.0, 1.0], [9, 0, 0]])
    run = sharded(jax.vmap(train), P("replica"), P("replica"), check_vma=False)
    alone = jnp.stack([train(member) for member in members])
    np.testing.assert_allclose(run(members), alone, rtol=1e-5)


@pytest.mark.skipif(
    not hasattr(jax.lax, "pcast"),
    reason="zeros like split parameters do not vary in this JAX: SGD fails too",
)
def test_split_and_whole_parameters_train_together_in_shard_map():
    # As with SGD: the state of a loss that all devices share does not vary.
    optimizer = lcam_optax.lcam(0.1, 0.5, 0.75)

    def train(kernel, bias, x, y):
        def loss(params):
            outputs = jax.lax.psum(x @ params["a"], "replica") + params["b"]
            return jnp.mean((outputs - y) ** 2)

        def step(carry, _):
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(grads, state, params, value=value)
            return (optax.apply_updates(params, updates), state), value

        params = {"a": kernel, "b": bias}
        return jax.lax.scan(step, (params, optimizer.init(params)), length=3)[1]

    x = jnp.asarray(X)[:, :2]
    specs = (P("replica"), P(), P(None, "replica"), P())
    found = sharded(train, specs, P(), True)(jnp.zeros(2), jnp.zeros(()), x, Y)
    assert found[2] < found[0]


def test_parameters_may_lie_on_several_devices():
    first, second, *_ = jax.devices()
    params = {"a": jax.device_put(1.0, first), "b": jax.device_put(2.0, second)}
    state = lcam_optax.lcam(0.1).init(params)
    assert not optax.tree.get(state, "phase").committed


# --- Odd pytrees and dtypes -----------------------------------------------------------


def test_weakly_typed_parameters_stay_so():
    optimizer = lcam_optax.lcam(0.1)
    params = jnp.asarray(0.25)
    assert params.weak_type
    updates, state = fed(optimizer, params=params, gradient=params)
    assert updates.weak_type
    assert optax.tree.get(state, "trace").weak_type


def test_buffers_can_be_donated(alone):
    optimizer = lcam_optax.lcam(0.1, 0.5, 0.75)

    def step(params, state, loss):
        updates, state = optimizer.update(GRADIENT, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    step = jax.jit(step, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, PARAMS)
    state = optimizer.init(params)
    for loss in LOSSES:
        before = (params, state)
        params, state = step(params, state, loss)
        large = (before[0], before[1][0].trace)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(large))
    chex.assert_trees_all_close(state[0].trace, alone[1][0].trace)


def test_float64_parameters_are_sgds_bit_for_bit():
    with enable_x64(True):
        params = jnp.array([1.0, -2.0])
        gradient = jnp.array([0.1, 0.3])
        assert params.dtype == jnp.float64
        ours, state = fed(lcam_optax.lcam(0.1, 0.9, 0.9), LOSSES, params, gradient)
        sgd = optax.with_extra_args_support(optax.sgd(0.1, 0.9))
        theirs, _ = fed(sgd, LOSSES, params, gradient)
        np.testing.assert_array_equal(ours, theirs)
        assert optax.tree.get(state, "average_loss").dtype == jnp.float32
        initial = lcam_optax.lcam(0.1, 0.9, 0.9).init(params)
        chex.assert_trees_all_equal_shapes_and_dtypes(initial, state)


@pytest.mark.parametrize("params", [{}, (), None, {"w": None}])
def test_empty_pytrees_pass(params):
    updates, _ = fed(lcam_optax.lcam(0.1), LOSSES, params, params)
    assert jax.tree.leaves(updates) == []


def test_missing_gradients_stay_missing():
    params = {"w": jnp.ones(2), "frozen": None}
    updates, _ = fed(lcam_optax.lcam(0.1, 0.5, 0.5), LOSSES[:1], params, params)
    assert updates["frozen"] is None
    np.testing.assert_allclose(updates["w"], -0.1)


@pytest.mark.parametrize("momentum", [0.9, jnp.float32(0.9)], ids=["number", "array"])
def test_integer_parameters_are_treated_as_sgd_treats_them(momentum):
    params = jnp.array([3, 4])
    sgd = optax.with_extra_args_support(optax.sgd(0.1, 0.9))
    ours, theirs = (
        fed(optimizer, LOSSES, params, jnp.array([1, 2]))[0]
        for optimizer in (lcam_optax.lcam(0.1, momentum, momentum), sgd)
    )
    np.testing.assert_array_equal(ours, theirs)
