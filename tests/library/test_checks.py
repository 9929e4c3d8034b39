"""Bad arguments are refused by name, and odd ones that are right are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lcam_optax


def update_with(**keywords):
    optimizer = lcam_optax.lcam(0.1)
    params = jnp.ones(2)
    return optimizer.update(params, optimizer.init(params), params, **keywords)


@pytest.mark.parametrize("keywords", [{}, {"value": None}])
def test_missing_value_says_what_to_pass(keywords):
    with pytest.raises(
        TypeError, match=r"keyword `value`, the .*value=loss.*docs/recipes.md"
    ):
        update_with(**keywords)


def test_state_in_the_place_of_params_is_pointed_out():
    optimizer = lcam_optax.scale_by_lcam()
    params = {"w": jnp.ones(2)}
    state = optimizer.init(params)
    with pytest.raises(TypeError, match=r"`state` .* got dict.*\(updates, state, par"):
        optimizer.update(params, params, state, value=1.0)


# --- States that are not ours ---------------------------------------------------------


def reloaded(state):
    """The state as it is after its module was loaded again: of another class."""
    other = type(type(state).__name__, (tuple,), {"_fields": state._fields})
    return other(state)


def test_state_of_a_reloaded_module_is_told_from_a_wrong_argument():
    optimizer = lcam_optax.scale_by_lcam()
    state = reloaded(optimizer.init(0.0))
    with pytest.raises(TypeError, match=r"another copy of .* reloaded.* anew") as told:
        optimizer.update(0.0, state, value=1.0)
    assert "order of arguments" not in str(told.value)


def test_state_restored_without_a_target_says_so():
    optimizer = lcam_optax.scale_by_lcam()
    state = optimizer.init(0.0)._asdict()
    with pytest.raises(TypeError, match=r"got dict\. It was restored without a targ"):
        optimizer.update(0.0, state, value=1.0)


@pytest.mark.parametrize("broken", [reloaded, lambda state: state._asdict()])
def test_state_of_a_schedule_gets_the_same_advice(broken):
    schedule = lcam_optax.loss_phase_schedule(0.9, 0.95)
    with pytest.raises(TypeError, match=r"reloaded|restored without a target"):
        schedule(broken(schedule.init()), value=1.0)


def test_state_of_another_average_is_refused():
    saved = lcam_optax.scale_by_lcam(loss_average=0.9).init(0.0)
    optimizer = lcam_optax.scale_by_lcam(loss_average=lcam_optax.median_average(5))
    with pytest.raises(
        TypeError, match=r"of this `loss_average`, .*the structure .*Was it saved"
    ):
        optimizer.update(0.0, saved, value=1.0)


def test_state_of_another_window_is_refused():
    saved = lcam_optax.scale_by_lcam(loss_average=lcam_optax.median_average(7))
    optimizer = lcam_optax.scale_by_lcam(loss_average=lcam_optax.median_average(5))
    with pytest.raises(
        ValueError, match=r"has an array of shape \(7,\), expected \(5,\)"
    ):
        optimizer.update(0.0, saved.init(0.0), value=1.0)


# --- A LossAverage of one's own -------------------------------------------------------


def update_with_average(init, update):
    average = lcam_optax.LossAverage(init, update)
    optimizer = lcam_optax.scale_by_lcam(loss_average=average)
    return optimizer.update(0.0, optimizer.init(0.0), value=2.0)


@pytest.mark.parametrize(
    ("init", "update", "error", "message"),
    [
        (lambda: 0.0, lambda s, x: x, TypeError, "average, state.`, got one array"),
        (lambda: 0.0, lambda s, x: None, TypeError, "`, got NoneType"),
        (lambda: 0.0, lambda s, x: (x, s, s), TypeError, "`, got tuple of 3"),
        (lambda: jnp.zeros(3), lambda s, x: (s, x), ValueError, "shape .3,.*exchanged"),
        (lambda: (0.0, 0.0), lambda s, x: (s, x), ValueError, "shape .2,.*exchanged"),
        (lambda: {"a": 0.0}, lambda s, x: (s, x), TypeError, "dict.*exchanged"),
        (lambda: 0.0, lambda s, x: (x + 1j, s), TypeError, "scalar, got dtype complex"),
        (lambda: 0.0, lambda s, x: (x < 1, s), TypeError, "scalar, got dtype bool"),
        (
            lambda: jnp.zeros(0),
            lambda s, x: (x, jnp.append(s, x)),
            ValueError,
            r"as `init` made it, but it has an array of shape \(1,\), expected \(0,\)",
        ),
        (
            lambda: 0,
            lambda s, x: (x, s + x),
            TypeError,
            "has an array of float32, expected int32",
        ),
        (
            lambda: (0.0,),
            lambda s, x: (x, [x]),
            TypeError,
            "has the structure .*, expected",
        ),
    ],
)
def test_mistake_in_an_average_of_ones_own_is_named(init, update, error, message):
    with pytest.raises(error, match=f"`loss_average.update` must .*{message}"):
        update_with_average(init, update)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("init", None),
        ("init", 0.9),
        ("init", lambda params: 0.0),
        ("update", None),
        ("update", lambda state: (0.0, state)),
        ("update", lambda *, state, loss: (loss, state)),
    ],
)
def test_function_of_an_average_that_cannot_be_called_is_refused(name, function):
    average = lcam_optax.ema_average(0.9)._replace(**{name: function})
    with pytest.raises(TypeError, match=rf"`loss_average.{name}` must be .* `{name}\("):
        lcam_optax.lcam(0.1, loss_average=average)


def test_function_without_a_signature_is_taken():
    lcam_optax.lcam(0.1, loss_average=lcam_optax.LossAverage(dict, max))


def test_state_of_an_average_that_is_no_array_is_refused():
    with pytest.raises(TypeError, match=r"`loss_average.init` must .* got 'x' in it"):
        update_with_average(lambda: {"a": "x"}, lambda s, x: (x, s))


def test_average_of_a_reloaded_module_is_told_from_a_wrong_one():
    other = type("LossAverage", (tuple,), {})((None, None))
    with pytest.raises(TypeError, match="is a LossAverage of another copy of the modu"):
        lcam_optax.lcam(0.1, loss_average=other)


def test_dtype_that_was_taken_for_a_schedule_says_how_to_write_it():
    optimizer = optax.inject_hyperparams(lcam_optax.lcam)(
        0.1, accumulator_dtype=jnp.float32
    )
    with pytest.raises(TypeError, match=r'Write it as `jnp.dtype\("float32"\)`'):
        optimizer.init(0.0)


def test_state_that_begins_with_python_numbers_compiles_once():
    average = lcam_optax.LossAverage(
        init=lambda: (0.0, 0), update=lambda s, x: (s[0] + x, (s[0] + x, s[1] + 1))
    )
    optimizer = lcam_optax.scale_by_lcam(loss_average=average)
    traces = []

    @jax.jit
    def update(state):
        traces.append("trace")
        return optimizer.update(0.0, state, value=jnp.float32(2))[1]

    update(update(optimizer.init(0.0)))
    assert len(traces) == 1


def test_misspelt_value_is_pointed_out():
    with pytest.raises(TypeError, match=r"`value`.* got only the keywords `loss`"):
        update_with(loss=1.0)


@pytest.mark.parametrize("shape", [(128,), (1,), (2, 2)])
def test_value_that_is_no_scalar_is_refused(shape):
    with pytest.raises(ValueError, match=r"`value` must be the scalar .*jnp.mean"):
        update_with(value=jnp.ones(shape))


@pytest.mark.parametrize(
    "value", [1j, "2.3", True, (1.0, {}), jnp.complex64(1), {}, [[1], [1, 2]], 2**64]
)
def test_value_that_is_not_real_is_refused(value):
    with pytest.raises(TypeError, match=r"`value` must be the scalar .* real number"):
        update_with(value=value)


@pytest.mark.parametrize("value", [(1.0, 2.0), (jnp.ones(()), {"accuracy": 0.5})])
def test_loss_with_its_auxiliary_output_says_to_pass_the_loss_alone(value):
    with pytest.raises(TypeError, match=r"got a tuple of 2\. .*has_aux.*value=loss"):
        update_with(value=value)


def test_value_is_checked_while_tracing():
    with pytest.raises(ValueError, match="got an array of shape"):
        jax.eval_shape(update_with, value=jax.ShapeDtypeStruct((8,), jnp.float32))


@pytest.mark.parametrize("name", ["high_loss_momentum", "low_loss_momentum"])
@pytest.mark.parametrize(
    "number", [-0.1, 1.0, 1.5, float("nan"), np.float32(1), np.array(2.0)]
)
def test_momentum_out_of_range_is_refused(name, number):
    with pytest.raises(ValueError, match=rf"`{name}` .* \[0, 1\), got {number}"):
        lcam_optax.lcam(0.1, **{name: number})


@pytest.mark.parametrize(
    "setting", ["high_loss_momentum", "low_loss_momentum", "loss_average"]
)
def test_number_that_float32_rounds_to_1_is_refused(setting):
    with pytest.raises(ValueError, match=r"got 0\.999999999.*float32 rounds.*1\.$"):
        lcam_optax.lcam(0.1, **{setting: 1 - 1e-9})
    lcam_optax.lcam(0.1, **{setting: 1 - 1e-7})  # the next float32 below 1


def test_setting_of_several_numbers_is_refused():
    with pytest.raises(ValueError, match=r"`low_loss_momentum` must be one number"):
        lcam_optax.lcam(0.1, 0.9, jnp.full(3, 0.9))


@pytest.mark.parametrize("margin", [-0.1, float("inf"), float("nan")])
def test_margin_out_of_range_is_refused(margin):
    with pytest.raises(ValueError, match=rf"`margin` .* \[0, inf\), got {margin}"):
        lcam_optax.lcam(0.1, margin=margin)


@pytest.mark.parametrize("number", [float("nan"), -float("inf"), 10**400])
def test_learning_rate_that_is_not_finite_is_refused(number):
    with pytest.raises(ValueError, match=r"`learning_rate` must be in \(-inf, inf\)"):
        lcam_optax.lcam(number)


@pytest.mark.parametrize("number", [-0.1, 1e30])
def test_learning_rate_may_be_what_optax_sgd_takes(number):
    optimizer, sgd = lcam_optax.lcam(number), optax.sgd(number, 0.9)
    ones = jnp.ones(2)
    ours, _ = optimizer.update(ones, optimizer.init(ones), value=1.0)
    theirs, _ = sgd.update(ones, sgd.init(ones))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("loss_average", [1.0, 391, float("nan")])
def test_loss_average_that_is_no_decay_is_refused(loss_average):
    with pytest.raises(ValueError, match=rf"`epoch_average.* got {loss_average}\.$"):
        lcam_optax.lcam(0.1, loss_average=loss_average)


def test_whole_number_beyond_every_float_is_no_decay():
    with pytest.raises(ValueError, match="`loss_average` must be a LossAverage"):
        lcam_optax.lcam(0.1, loss_average=-(10**400))


@pytest.mark.parametrize("name", ["margin", "loss_average"])
def test_schedule_where_none_goes_points_to_inject_hyperparams(name):
    schedule = optax.constant_schedule(0.1)
    with pytest.raises(TypeError, match=rf"`{name}` must .*inject_hyperparams\(lcam"):
        lcam_optax.lcam(0.1, **{name: schedule})


def test_number_of_steps_that_cannot_follow_a_schedule_is_not_said_to():
    with pytest.raises(TypeError, match=r"`steps_per_epoch` must .*[^)]\.$"):
        lcam_optax.epoch_average(optax.constant_schedule(3))


@pytest.mark.parametrize("average", ["ema_average", "epoch_average", "median_average"])
def test_average_that_was_not_called_is_to_be_called(average):
    with pytest.raises(TypeError, match=rf"\. Call it: `{average}\(\.\.\.\)`\.$"):
        lcam_optax.lcam(0.1, loss_average=getattr(lcam_optax, average))


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("high_loss_momentum", "0.9"),
        ("low_loss_momentum", None),
        ("margin", [0.1]),
        ("margin", "float32"),
        ("margin", 1j),
        ("loss_average", "0.99"),
        ("loss_average", lcam_optax.ema_average),
    ],
)
def test_setting_of_a_wrong_type_is_refused(name, setting):
    with pytest.raises(TypeError, match=f"`{name}` must be a"):
        lcam_optax.lcam(0.1, **{name: setting})


def test_learning_rate_that_no_integer_can_negate_is_negated():
    optimizer = lcam_optax.lcam(-(2**31))
    updates, _ = optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())), value=1.0)
    assert updates == 2.0**31


@pytest.mark.parametrize("kind", [np.uint8, jnp.uint8])
def test_unsigned_learning_rate_still_descends(kind):
    optimizer = lcam_optax.lcam(kind(2))
    params = jnp.float32(1)
    updates, _ = optimizer.update(params, optimizer.init(params), value=jnp.float32(1))
    assert updates == -2


def test_text_for_a_loss_is_refused_by_name():
    optimizer = lcam_optax.lcam(0.1)
    with pytest.raises(TypeError, match="`value` must be the scalar loss"):
        optimizer.update(0.0, optimizer.init(0.0), value=",")


@pytest.mark.parametrize("value", [10**10, np.int64(10**10), np.array(10**10)])
def test_integer_loss_of_64_bits_keeps_its_size(value):
    optimizer = lcam_optax.scale_by_lcam()
    _, state = optimizer.update(0.0, optimizer.init(0.0), value=value)
    np.testing.assert_allclose(state.average_loss, 1e10, rtol=1e-6)


def test_integer_of_thousands_of_digits_is_refused_without_writing_it_out():
    with pytest.raises(TypeError, match="got int: an integer of thousands of digits"):
        update_with(value=10**5000)


def test_messages_show_the_beginning_of_what_came():
    with pytest.raises(TypeError, match=f"got str: '{'x' * 79}. Pass it"):
        update_with(value="x" * 200)


@pytest.mark.parametrize(
    "dtype", ["x", "datetime64[s]", "bool", object, ",", "(-1,)f4"]
)
def test_accumulator_dtype_that_is_none_of_numbers_is_refused(dtype):
    with pytest.raises(TypeError, match="`accumulator_dtype` must be a dtype of num"):
        lcam_optax.lcam(0.1, accumulator_dtype=dtype)


@pytest.mark.parametrize("name", ["lagged", "nesterov"])
def test_flag_may_be_numpys_and_nothing_but_a_flag(name):
    lcam_optax.lcam(0.1, **{name: np.bool_(True)})
    with pytest.raises(TypeError, match=rf"`{name}` must be a bool, got 'False'"):
        lcam_optax.lcam(0.1, **{name: "False"})


@pytest.mark.parametrize("name", ["learning_rate", "margin", "low_loss_momentum"])
@pytest.mark.parametrize("number", [False, np.bool_(False), np.array("0.1")])
def test_number_that_is_none_is_refused(name, number):
    with pytest.raises(TypeError, match=rf"`{name}` must be a number in "):
        lcam_optax.lcam(**{"learning_rate": 0.1, name: number})


@pytest.mark.parametrize("margin", [0, 0.0, np.float32(0), np.array(0), jnp.int32(0)])
def test_smallest_number_is_taken(margin):
    lcam_optax.lcam(0.1, margin=margin)


@pytest.mark.parametrize("name", ["learning_rate", "low_loss_momentum"])
def test_message_says_where_a_schedule_may_stand(name):
    with pytest.raises(TypeError, match=rf"`{name}` must be .*\), or a schedule, got"):
        lcam_optax.lcam(**{"learning_rate": 0.1, name: None})


def test_bounds_are_shown_in_the_message():
    with pytest.raises(TypeError, match=r"`margin` must be a number in \[0, inf\), go"):
        lcam_optax.lcam(0.1, margin="0.1")
