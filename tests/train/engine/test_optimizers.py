import dataclasses
import inspect
import math

import chex
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train.engine.optimizers import (
    any_hyperparameters,
    hyperparameters_of,
    learning_rates,
    make_optimizer,
    method_of,
    seen_in,
)
from train.errors import InputError
from train.settings.arms import parse_arms
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
    """As in the program: the initial state is made before the numbers are known."""
    method, numbers = method_of(config), hyperparameters_of(config, steps_per_epoch)
    made = make_optimizer(method, numbers, jnp.float32(config.learning_rate))
    begun = make_optimizer(method, any_hyperparameters(method), jnp.float32(0))
    return optax.GradientTransformationExtraArgs(begun.init, made.update)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_optax_sgd_behind_weight_decay_bit_for_bit(nesterov):
    config = Optimizer("sgd", momentum=0.8, weight_decay=0.01, nesterov=nesterov)
    expected = optax.with_extra_args_support(
        optax.chain(
            optax.add_decayed_weights(0.01), optax.sgd(0.1, 0.8, nesterov=nesterov)
        )
    )
    chex.assert_trees_all_equal(trajectory(built(config))[0], trajectory(expected)[0])


def optimizers_of_optax():
    """All that have a learning rate, but for those that need more than a loss."""
    for room, path in ((optax, "optax"), (optax.contrib, "optax.contrib")):
        for name in dir(room):
            factory = getattr(room, name)
            if name.startswith("scale_by") or not inspect.isfunction(factory):
                continue
            others = inspect.signature(factory).parameters
            needs = [each for each in others if others[each].default is inspect._empty]
            if "learning_rate" in others and needs in ([], ["learning_rate"]):
                yield f"{path}.{name}", factory


KNOWN = {
    name: factory
    for name, factory in optimizers_of_optax()
    if name.rpartition(".")[2] not in ("lbfgs", "rprop", "sophia")
}


def test_there_are_many_optimizers_in_optax():
    assert len([name for name in KNOWN if "contrib" not in name]) >= 20
    assert len([name for name in KNOWN if "contrib" in name]) >= 10


@pytest.mark.filterwarnings("ignore:Specifying a key", "ignore:.*is deprecated")
@pytest.mark.parametrize("name", KNOWN)
def test_optimizer_of_optax_is_what_optax_makes(name):
    config = Optimizer(name, learning_rate=0.01)
    expected = optax.with_extra_args_support(KNOWN[name](0.01))
    # Numbers that are traced are float32: last bits differ.
    chex.assert_trees_all_close(
        trajectory(built(config))[0], trajectory(expected)[0], rtol=2e-4, atol=1e-5
    )


OTHERS = [  # typed, and the same by Optax
    (
        "optax.adamw:b1=0.8,b2=0.9,eps=1e-3,weight-decay=0.01,learning-rate=0.1",
        lambda: optax.adamw(0.1, b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.01),
    ),
    (
        "optax.sgd:momentum=0.5,nesterov=True,clip-norm=0.5",
        lambda: optax.chain(
            optax.clip_by_global_norm(0.5), optax.sgd(0.001, 0.5, nesterov=True)
        ),
    ),
    ("optax.novograd:b1=0", lambda: optax.novograd(0.001, b1=0.0)),
    ("optax.rmsprop:centered=True", lambda: optax.rmsprop(0.001, centered=True)),
    (
        "optax.sgd:momentum=0.5,accumulator-dtype=bfloat16",
        lambda: optax.sgd(0.001, 0.5, accumulator_dtype="bfloat16"),
    ),
]


@pytest.mark.parametrize(("arm", "make"), OTHERS, ids=[arm for arm, _ in OTHERS])
def test_options_reach_the_function_of_optax(arm, make):
    [config] = parse_arms([arm]).values()
    expected = optax.with_extra_args_support(make())
    chex.assert_trees_all_close(
        trajectory(built(config))[0], trajectory(expected)[0], rtol=1e-5
    )


def test_momentum_of_optax_sgd_is_sgd_and_by_phase_it_is_lcam():
    for arm, ours in (
        ("optax.sgd:momentum=0.8,learning-rate=0.1", Optimizer("sgd", momentum=0.8)),
        (
            "optax.sgd:momentum=0.9/0.95,learning-rate=0.1,ema-decay=0.5",
            Optimizer(low_loss_momentum=0.95, ema_decay=0.5),
        ),
    ):
        [config] = parse_arms([arm]).values()
        ours = dataclasses.replace(ours, weight_decay=0.0)
        chex.assert_trees_all_close(
            trajectory(built(config))[0], trajectory(built(ours))[0], rtol=1e-6
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
def test_number_by_phase_is_the_number_of_each_step(options, phases):
    config = Optimizer("optax.adamw", optimizer_options=("b1=0.5/0.75",), **options)
    b1s = jnp.array([0.5, 0.75])[jnp.array(phases)]
    expected = optax.inject_hyperparams(optax.adamw)(0.001, b1=lambda count: b1s[count])
    found, state = trajectory(built(config))
    chex.assert_trees_all_close(found, trajectory(expected)[0], rtol=1e-5)
    assert seen_in(method_of(config), state)["momentum"] == b1s[-1]


def test_rate_by_phase_follows_the_schedule():
    arm = "optax.sgd:learning-rate=0.1/0.3,weight-decay=0.1"
    config = Optimizer("optax.sgd", optimizer_options=("learning-rate=0.1/0.3",))
    config = dataclasses.replace(config, ema_decay=0.0)
    numbers = hyperparameters_of(config, 4)
    # Half of the peak: the schedule's share counts for both.
    half = jnp.float32(config.learning_rate / 2)
    optimizer = make_optimizer(method_of(config), numbers, half)
    updates, _ = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), value=1.0)
    np.testing.assert_allclose(updates, -0.05, rtol=1e-6)
    with pytest.raises(InputError, match=r"optax.sgd has no option weight_decay"):
        method_of(*parse_arms([arm]).values())


def test_several_numbers_by_phase_have_one_phase():
    [config] = parse_arms(["optax.adamw:b1=0.5/0.75,b2=0.9/0.99,ema-decay=0"]).values()
    _, state = trajectory(built(config))
    seen = seen_in(method_of(config), state)
    assert (seen["phase"], seen["momentum"], seen["average_loss"]) == (0, 0.5, 1)


OWN = """
import optax

def make(learning_rate, *, beta=0.9):
    return optax.sgd(learning_rate, momentum=beta)

def broken(learning_rate):
    return optax.sgd(learning_rate, momentum=undefined)

def nothing(learning_rate):
    optax.sgd(learning_rate)
"""


def test_optimizer_of_a_file_is_what_its_function_makes(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    [config] = parse_arms(
        [f"{tmp_path}/mine.py:make:beta=0.5/0.75,ema-decay=0"]
    ).values()
    expected = optax.with_extra_args_support(optax.sgd(0.001, 0.5))
    chex.assert_trees_all_close(
        trajectory(built(config))[0], trajectory(expected)[0], rtol=1e-6
    )
    with pytest.raises(InputError, match=r"broken of .*mine.py: it failed") as caught:
        method_of(Optimizer(f"{tmp_path}/mine.py:broken"))
    assert "undefined" in caught.value.details
    with pytest.raises(InputError) as caught:
        method_of(Optimizer(f"{tmp_path}/mine.py:nothing"))
    assert "return an Optax transformation, not NoneType" in caught.value.details


@pytest.mark.parametrize(
    ("arm", "message"),
    {
        "optax.adamww": "no optimizer optax.adamww. Did you mean optax.adamw?",
        "optax.muon": "Did you mean optax.contrib.muon?",
        "optax.adamw:bb1=0.9": "adamw has no option bb1. Did you mean b1. It has b1, b",
        "optax.adamw:b1=high": "optax.adamw:b1 must be a number, or two as in 0.9/0.9",
        "optax.sgd:nesterov=1": "optax.sgd:nesterov must be True or False",
        "optax.lbfgs": "cannot be used here: .*'value_fn'. The program gives it",
        "optax.rprop": "cannot be used here: its state begins with the learning rate",
        "optax.contrib.dpsgd": "cannot be used here: .*missing 3 required",
        "optax.clip": "--optimizer optax.clip takes no learning_rate, and must",
    }.items(),
)
def test_optimizer_that_cannot_be_used_is_refused(arm, message):
    with pytest.raises(InputError, match=message):
        method_of(*parse_arms([arm]).values())


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


COSINE = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant"), [0.1] * 4),
        # The authors change the rate at the end of 0-based epoch m - 1: m has it.
        (Schedule("step", (1, 3), 0.2), 2 * [0.1] + 4 * [0.02] + 2 * [0.004]),
        # A decay at every step after its epoch.
        (
            Schedule("exponential", exponential_after=1, exponential_rate=0.5),
            [0.1, 0.1, 0.05, 0.025, 0.0125, 0.00625],
        ),
        (Schedule("cosine"), COSINE),
        # A warm-up keeps the milestones.
        (
            Schedule("step", (3,), 0.5, warmup_epochs=2),
            [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05],
        ),
    ],
)
def test_learning_rates_of_all_steps_follow_the_schedule(schedule, expected):
    sizes = {"epochs": len(expected) // 2, "steps_per_epoch": 2}
    actual = learning_rates(schedule, 0.1, **sizes)
    assert (actual.shape, actual.dtype) == ((len(expected) // 2, 2), np.float32)
    np.testing.assert_allclose(actual.ravel(), expected, rtol=1e-5)
